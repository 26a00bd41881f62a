"""``alerts.alertmanager`` in the config: a list of URLs, or of instances with a login."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from sinks.base import ConfigKey
from sinks.credentials import Login

_ADDRESS = re.compile(r"https?://[^\s/]+")


class AlertmanagerConfig(Login):
    """One instance."""

    url: str = Field(description="where it is, such as http://127.0.0.1:9093")

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if not _ADDRESS.match(value):
            raise ValueError("an address with http:// or https:// is expected, such as http://127.0.0.1:9093")
        return value


def _from_url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


KEY = ConfigKey(
    "alerts.alertmanager",
    list[Annotated[AlertmanagerConfig, BeforeValidator(_from_url)]],
    [],
    "URLs, or {url, username, password_env, …}; all of them get every alert",
)
