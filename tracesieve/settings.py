"""The config file ``tracesieve.yaml``: its model, and loading it with every mistake named by file, line and key.

Each source and sink brings its own part of the model from the file that implements it; this module composes them.
Environment variables ``TRACESIEVE_<KEY>`` (``__`` between levels) win over the file.  Secrets are never in either:
the config names the environment variable that holds one.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sinks.alertmanager import AlertmanagerConfig
from sinks.http_server import MetricsConfig
from streams.session import SparkConfig
from streams.sources import SourceConfig
from tracesieve.errors import ConfigError, Mistake

DEFAULT_GROUP_BY = ("experiment", "trace_name", "environment")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration_s(value: Any) -> Any:
    """Seconds from ``30s``, ``5m``, ``24h``, ``7d`` or a plain number; anything else is left to pydantic to refuse."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", value.strip())):
        return float(match[1]) * _UNITS_S[match[2]]
    return value


Duration = Annotated[float, BeforeValidator(parse_duration_s), Field(ge=0, description="seconds, or 30s, 5m, 24h, 7d")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MlflowTarget(_Part):
    """Where tags and datasets go."""

    tracking_uri: str


class AlertsConfig(_Part):
    """Who is told of alerts, besides the log."""

    alertmanager: list[str | AlertmanagerConfig] = []
    page_if_newer_than: Duration = 3600.0


class DatasetsConfig(_Part):
    """Regression datasets: one a category, named ``<prefix>_<category>``."""

    prefix: str = Field(default="tracesieve", pattern=r"^[A-Za-z0-9_.-]{1,64}$")


class LogConfig(_Part):
    """How the program logs, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(BaseSettings):
    """The whole config (DESIGN 7's keys are a public contract)."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="TRACESIEVE_", env_nested_delimiter="__", case_sensitive=False
    )

    source: SourceConfig
    store: str = ".tracesieve"
    rules: list[str] = ["packs/default"]
    group_by: tuple[str, ...] = DEFAULT_GROUP_BY
    mlflow: MlflowTarget | None = None
    metrics: MetricsConfig | None = MetricsConfig()
    spark: SparkConfig = SparkConfig()
    alerts: AlertsConfig = AlertsConfig()
    datasets: DatasetsConfig | Literal[False] = DatasetsConfig()
    log: LogConfig = LogConfig()
    settle: Duration = 2.0
    evaluate_after: Duration = 15.0
    dedupe_horizon: Duration = 30 * 86400.0
    revise_for: Duration = 2 * 86400.0
    retention: dict[str, Duration] = {}
    include_evaluation: bool = False
    base_dir: str = Field(".", exclude=True, description="the folder of the config file; set by load_settings")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file."""
        return env_settings, init_settings

    @property
    def store_path(self) -> str:
        """The store's location; a relative folder is relative to the config file."""
        return self.store if "://" in self.store else str((Path(self.base_dir) / self.store).resolve())

    @property
    def config_hash(self) -> str:
        """Twelve hex digits over everything in the config that changes what counts."""
        meaning = self.model_dump(mode="json", include={"source", "group_by", "include_evaluation", "dedupe_horizon"})
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:12]


def load_settings(path: str | Path) -> Settings:
    """Read and check a config file.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds mistakes; all of them are in the message.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        mend = "write one with `tracesieve init`, or name another with -c"
        raise ConfigError([Mistake(str(path), 1, "-", f"cannot be read: {error.strerror}", mend)]) from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "is not YAML"
        raise ConfigError([Mistake(str(path), mark.line + 1 if mark else 1, "-", f"YAML: {problem}")]) from error
    if not isinstance(data, dict) or root is None:
        raise ConfigError([Mistake(str(path), 1, "-", "is not a mapping of keys", "start with `source:`")])
    try:
        return Settings(**{**data, "base_dir": str(file.resolve().parent)})
    except ValidationError as error:
        raise ConfigError([_mistake(str(path), root, item) for item in error.errors()]) from error


def _mistake(path: str, root: yaml.Node, item: Any) -> Mistake:
    """One pydantic error as a line of the file; union tags in pydantic's location are stepped over."""
    loc = [str(part) for part in item["loc"]]
    node, line = root, 1
    named: list[str] = []
    for part in loc:
        found = _child(node, part)
        if found is None:
            continue
        key, node = found
        line, named = key.start_mark.line + 1, [*named, part]
    kind = item["type"]
    if kind == "extra_forbidden":
        return Mistake(path, line, ".".join(loc), "unknown key", "see docs/operations.md for the keys there are")
    if kind == "missing":
        return Mistake(path, line, ".".join([*named, loc[-1]]), "is required")
    return Mistake(path, line, ".".join(named) or ".".join(loc), item["msg"].removeprefix("Value error, "))


def _child(node: yaml.Node, part: str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        return node.value[int(part)], node.value[int(part)]
    return None
