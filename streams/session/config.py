"""The config's part on Spark; it is read without loading Spark."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

_MEMORY = re.compile(r"[0-9]+[kmgKMG]")


class SparkConfig(BaseModel):
    """Which Spark: any master, the driver's memory, and any other setting in Spark's own names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    master: str = Field(
        default="local[*]", description="any Spark master: local[*], spark://…, k8s://…, yarn"
    )
    memory: str = Field(default="2g", description="the driver's memory, as the JVM writes it")
    conf: dict[str, str] = Field(default={}, description="any other setting, in Spark's own names")

    @field_validator("memory")
    @classmethod
    def _memory(cls, value: str) -> str:
        if not _MEMORY.fullmatch(value):
            raise ValueError("a whole number and k, m or g is expected, such as 2g")
        return value
