"""``alerts.alertmanager`` in the config: a list of URLs, or of instances with a login."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from rules.address_key import WebAddress
from sinks.base import ConfigKey
from sinks.credentials import Login


class AlertmanagerConfig(Login):
    """One instance."""

    url: WebAddress = Field(description="where it is, such as http://127.0.0.1:9093")


def _from_url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


KEY = ConfigKey(
    "alerts.alertmanager",
    list[Annotated[AlertmanagerConfig, BeforeValidator(_from_url)]],
    [],
    "URLs, or {url, username, password_env, …}; all of them get every alert",
)
