"""The config's part on Spark; it is read without loading Spark."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SparkConfig(BaseModel):
    """Which Spark: any master, the driver's memory, and any other setting in Spark's own names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    master: str = Field(
        default="local[*]", description="any Spark master: local[*], spark://…, k8s://…, yarn"
    )
    memory: str = Field(
        default="2g", pattern=r"^\d+[kmgKMG]$", description="the driver's memory, as the JVM writes it"
    )
    conf: dict[str, str] = Field(default={}, description="any other setting, in Spark's own names")
