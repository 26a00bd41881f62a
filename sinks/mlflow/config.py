"""``mlflow`` and ``datasets`` in the config: the server that tags and datasets go to, and what goes there."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rules.address_key import TrackingUri
from sinks.base import ConfigKey, SinkConfig
from sinks.mlflow.redaction import RedactionConfig

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class MlflowTarget(BaseModel):
    """The server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tracking_uri: TrackingUri = Field(
        description="the server; a login comes from MLflow's own environment variables"
    )
    tags: bool = Field(
        default=True, description="false where that server does not have the source's traces: datasets alone"
    )


class DatasetsConfig(BaseModel):
    """Regression datasets: one a category, named ``<prefix>_<category>``.

    They live in the experiment of each trace; with ``experiment`` all of them in the one of that name, made
    if there is none.  A source that is no MLflow server has no experiments: its datasets are in
    ``experiment``, or in one named as ``prefix``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = Field(
        default="tracesieve",
        description="a dataset is named <prefix>_<category>",
    )
    experiment: str | None = Field(
        default=None,
        min_length=1,
        description="the experiment that holds them; absent: each trace's own, or one named as the prefix",
    )

    redaction: RedactionConfig | Literal[False] = Field(
        default=RedactionConfig(),
        description="what is taken out of records before they are written; false: nothing",
    )

    @field_validator("prefix")
    @classmethod
    def _name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("letters, digits, `_`, `.` and `-` are expected, at least one and at most 64")
        return value


def dataset_prefix(config: SinkConfig) -> str:
    """What the names of datasets begin with, also where the config wants none (any more)."""
    return str((config.get(DATASETS.path) or DatasetsConfig()).prefix)


SERVER = ConfigKey("mlflow", MlflowTarget | None, None, "where tags and datasets go; absent: no tagging")
DATASETS = ConfigKey(
    "datasets",
    DatasetsConfig | Literal[False],
    DatasetsConfig(),
    "regression datasets in MLflow, one a category; false: none",
)
