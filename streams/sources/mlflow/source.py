"""The config of an MLflow tracking server as a source.

Auth comes from MLflow's own environment variables (``MLFLOW_TRACKING_USERNAME``, ``MLFLOW_TRACKING_TOKEN``,
…), never from the config.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rules.units import DAY_US, MINUTE_US, SECOND_US, DurationUs, parse_duration_us


class MlflowSource(BaseModel):
    """Finished traces of some experiments of an MLflow server; durations are given as ``10m``, kept as µs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["mlflow"] = Field(
        default="mlflow", description="finished traces of an MLflow tracking server"
    )
    tracking_uri: str = Field(description="the server; a login comes from MLflow's own environment variables")
    experiments: tuple[str, ...] = Field(min_length=1, description="which experiments, by name or id")
    start: str = Field(default="-24h", description="from when on: now, earliest, or a time back such as -24h")
    overlap: DurationUs = Field(
        default=10 * MINUTE_US, description="how far back the last slice of time is listed again"
    )
    reconcile: DurationUs = Field(
        default=15 * MINUTE_US, description="how often the server's own counts are compared"
    )
    amend_for: DurationUs = Field(
        default=DAY_US, description="how long later feedback and tags are looked for"
    )
    settle: DurationUs = Field(
        default=2 * SECOND_US, description="how long after its end a trace is left alone before it is landed"
    )

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
            parse_duration_us(value[1:])
        return value

    def start_us(self, now_us: int, earliest_us: int) -> int:
        """The end time after which traces are wanted, µs."""
        if self.start == "now":
            return now_us
        if self.start == "earliest":
            return min(earliest_us, now_us)
        return now_us - parse_duration_us(self.start[1:])

    def check(self) -> dict[str, str]:
        """The experiments by id, if the server answers and has them all.

        Raises:
            UnknownExperiment: one is not there; lists those there are.
            SourceDown: no server, no access.
        """
        from streams.sources.mlflow.client import MlflowReader

        return MlflowReader(self.tracking_uri).experiments(self.experiments)
