"""The model of the config.

Each source and sink brings its own part of the model; this module composes them. Environment variables win
over the file. Secrets are in neither: the config names the environment variable that holds one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rules.duration_key import DurationUs
from rules.groups import DEFAULT_GROUP_BY, label_names
from rules.units import DAY_US, HOUR_US, SECOND_US
from sinks import registry
from sinks.base import SinkConfig
from sinks.http.server import MetricsConfig
from store.maintenance.retention import mistakes
from streams.session.config import SparkConfig
from streams.sources import source_type
from streams.sources.base import Source, SourcePlace
from tracesieve.config.evaluation import EvaluationConfig
from tracesieve.config.variables import PREFIX, Variables

OWN_FIELDS = {"base_dir", "config_file"}  # set by load_settings, no keys of the file
_FILES = {"ca_file", "tls_cert", "tls_key"}  # keys that name a file: relative to the config, as the store is


class _Part(BaseModel):
    """A part of the config; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AlertsConfig(_Part):
    """Who gets alerts, besides the log; each sink that takes alerts brings a key of its own."""

    page_if_newer_than: DurationUs = Field(
        default=HOUR_US, description="windows that ended longer ago are counted, never paged"
    )
    once_every: DurationUs | None = Field(
        default=None, description="how often `run --once` is repeated: an alert it sends lasts twice as long"
    )


class LogConfig(_Part):
    """How the program logs, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    format: Literal["text", "json"] = Field(default="text", description="text or json, one object a line")


class Settings(BaseSettings):
    """The whole config. Its keys are a public contract; what each does is in its description.

    The keys of sinks and those below ``source`` come on top of these: see :func:`settings_model`.
    Durations are in µs; defaults are not validated, because a plain number of a config file is seconds.
    """

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=False,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        case_sensitive=False,
    )

    source: SerializeAsAny[Source] = Field(description="where traces come from")
    store: str = Field(
        default=".tracesieve", description="the folder of everything that is kept, relative to this file"
    )
    rules: list[str] = Field(
        default=["packs/default"], description="shipped packs (packs/…), rule files or folders of them"
    )
    group_by: tuple[str, ...] = Field(
        default=DEFAULT_GROUP_BY,
        description="what numbers are kept by: experiment, trace_name, environment, model, tags.x, "
        "metadata.x",
    )
    metrics: MetricsConfig | None = Field(
        default=MetricsConfig(), description="/metrics, /healthz and /readyz; null: not served"
    )
    spark: SparkConfig = Field(default=SparkConfig(), description="which Spark reads and matches")
    alerts: AlertsConfig = Field(default=AlertsConfig(), description="who gets alerts, besides the log")
    evaluation: EvaluationConfig = Field(
        default=EvaluationConfig(), description="what `datasets evaluate` scores answers with"
    )
    log: LogConfig = Field(default=LogConfig(), description="how the program logs, on stderr")
    evaluate_after: DurationUs = Field(
        default=15 * SECOND_US, description="an instant is judged at the latest this long after it has passed"
    )
    dedupe_horizon: DurationUs = Field(
        default=30 * DAY_US, description="repeats are known this far back; what is older is not counted"
    )
    revise_for: DurationUs = Field(
        default=2 * DAY_US, description="late traces change verdicts this far back"
    )
    retention: dict[str, DurationUs] = Field(
        default={}, description="how long a table of the store is kept, such as {facts: 90d}"
    )
    include_evaluation: bool = Field(
        default=False, description="also count traces of evaluation runs and judges"
    )
    usage_from: Literal["trace", "spans"] = Field(
        default="trace",
        description="whose tokens and cost a trace has: its own, or those of its spans together",
    )
    base_dir: str = Field(
        default=".", exclude=True, description="the folder of the config file; set by load_settings"
    )
    config_file: str = Field(
        default="", exclude=True, description="the config file itself; set by load_settings"
    )

    @model_validator(mode="before")
    @classmethod
    def _files(cls, data: Any) -> Any:
        """Files beside the config are found from whatever folder the program is started in."""
        return _beside(data, Path(str(data.get("base_dir", "."))))

    @field_validator("retention")
    @classmethod
    def _retention(cls, value: dict[str, int], info: ValidationInfo) -> dict[str, int]:
        """Every fault at once: a table that does not expire, a time too short for what needs the rows."""
        data = info.data
        relists = data["source"].relists_us if "source" in data else 0
        wrong = mistakes(value, data.get("dedupe_horizon", 0), data.get("revise_for", 0), relists)
        if wrong:
            raise ValueError("; ".join(wrong))
        return value

    @field_validator("group_by")
    @classmethod
    def _own_labels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        label_names(value)
        return value

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
        return Variables(settings_cls), init_settings

    @property
    def store_path(self) -> str:
        """The store's location; a relative folder is relative to the config file."""
        return self.store if "://" in self.store else str((Path(self.base_dir) / self.store).resolve())

    @property
    def place(self) -> SourcePlace:
        """Where the source's relative paths begin, and the store."""
        return SourcePlace(self.base_dir, self.store_path)

    @property
    def sinks(self) -> SinkConfig:
        """The values of the keys that sinks bring, by path; those that this model has."""
        return {
            key.path: value for key in registry.config_keys() if (value := _at(self, key.path)) is not None
        }

    @property
    def config_hash(self) -> str:
        """Twelve hex digits over everything in the config that changes what counts."""
        meaning = self.model_dump(include={"source", "group_by", "include_evaluation"})
        if self.usage_from != "trace":  # hashes of before this key stay as they were
            meaning["usage_from"] = self.usage_from
        meaning["dedupe_horizon"] = self.dedupe_horizon / SECOND_US  # stores hold hashes over seconds
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:12]


def settings_model() -> type[Settings]:
    """:class:`Settings` with the keys of all sinks and of every kind of source in the registries."""
    below: dict[str, dict[str, Any]] = {}
    for key in registry.config_keys():
        group, _, name = key.path.rpartition(".")
        field = Field(default=key.default, description=key.description)
        below.setdefault(group, {})[name] = (key.kind, field)
    source = Field(description=Settings.model_fields["source"].description)
    fields = {**below.pop("", {}), "source": (source_type(), source)}
    for group, keys in below.items():
        base: Any = Settings.model_fields[group]
        model: Any = create_model(base.annotation.__name__, __base__=base.annotation, **keys)
        fields[group] = (model, Field(default=model(), description=base.description))
    return create_model("Settings", __base__=Settings, **fields)


def _at(settings: Settings, path: str) -> Any:
    value: Any = settings
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def _beside(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        found = {key: _beside(part, folder) for key, part in value.items()}
        return found | {
            key: str(folder / found[key]) for key in _FILES & found.keys() if isinstance(found[key], str)
        }
    return [_beside(part, folder) for part in value] if isinstance(value, list) else value
