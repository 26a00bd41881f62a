"""The config of an MLflow tracking server as a source.

Auth comes from MLflow's own environment variables (``MLFLOW_TRACKING_USERNAME``, ``MLFLOW_TRACKING_TOKEN``,
…), never from the config.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

_UNITS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")


def duration_us(value: object) -> object:
    """``"10m"`` as microseconds; a plain number is seconds.

    Raises:
        ValueError: neither.
    """
    if isinstance(value, bool):
        raise ValueError("a duration such as 10m, not a boolean")
    if isinstance(value, int | float):
        return int(value * 1_000_000)
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"{value!r} is no duration: write a number and ms, s, m, h or d, such as 10m")
    return int(float(match[1]) * _UNITS[match[2]])


Duration = Annotated[int, BeforeValidator(duration_us), Field(ge=0)]


class MlflowSource(BaseModel):
    """Finished traces of some experiments of an MLflow server; durations are given as ``10m``, kept as µs."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    kind: Literal["mlflow"] = Field(
        default="mlflow", description="finished traces of an MLflow tracking server"
    )
    tracking_uri: str = Field(description="the server; a login comes from MLflow's own environment variables")
    experiments: tuple[str, ...] = Field(min_length=1, description="which experiments, by name or id")
    start: str = Field(default="-24h", description="from when on: now, earliest, or a time back such as -24h")
    overlap: Duration = Field(
        default="10m", description="how far back the last slice of time is listed again"
    )  # type: ignore[assignment]
    reconcile: Duration = Field(default="15m", description="how often the server's own counts are compared")  # type: ignore[assignment]
    amend_for: Duration = Field(default="24h", description="how long later feedback and tags are looked for")  # type: ignore[assignment]
    settle: Duration = Field(
        default="2s", description="how long after its end a trace is left alone before it is landed"
    )  # type: ignore[assignment]

    @field_validator("experiments", mode="before")
    @classmethod
    def _texts(cls, value: object) -> object:
        """YAML reads an experiment id as a number."""
        return (
            [str(one) if isinstance(one, int) else one for one in value]
            if isinstance(value, list | tuple)
            else value
        )

    @field_validator("start")
    @classmethod
    def _start(cls, value: str) -> str:
        if value not in ("now", "earliest"):
            if not value.startswith("-"):
                raise ValueError(f"{value!r}: write now, earliest or a time back such as -24h")
            duration_us(value[1:])
        return value

    def start_us(self, now_us: int, earliest_us: int) -> int:
        """The end time after which traces are wanted, µs."""
        if self.start == "now":
            return now_us
        if self.start == "earliest":
            return min(earliest_us, now_us)
        back = duration_us(self.start[1:])
        assert isinstance(back, int)
        return now_us - back

    def check(self) -> dict[str, str]:
        """The experiments by id, if the server answers and has them all.

        Raises:
            UnknownExperiment: one is not there; lists those there are.
            SourceDown: no server, no access.
        """
        from streams.sources.mlflow.client import MlflowReader

        return MlflowReader(self.tracking_uri).experiments(self.experiments)
