"""``evaluation`` in the config: which scorers judge the answers of a dataset, the model that judges where one
is asked, and the bounds of the gate.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rules.address_key import WebAddress
from rules.duration_key import DurationUs
from rules.units import SECOND_US

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MODEL = re.compile(r"[a-z0-9_-]+:/\S+|databricks")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScorerConfig(_Part):
    """One scorer, and its bounds.

    A scorer that answers with a number needs ``pass_from`` or ``pass_up_to``, unless its code has a
    ``pass_if`` of its own.
    """

    scorer: str = Field(
        min_length=1,
        description="a scorer of MLflow (Safety), package.module:function, or file.py:function",
    )
    arguments: dict[str, Any] = Field(default={}, description="what that scorer is made with")
    datasets: list[str] = Field(default=[], description="the datasets that it judges; empty: all")
    pass_from: float | None = Field(default=None, description="a number passes from this one up")
    pass_up_to: float | None = Field(default=None, description="a number passes up to this one")
    at_least: float | None = Field(
        default=None, ge=0, le=1, description="the share of answers that must pass, such as 0.95"
    )
    at_most_worse: int | None = Field(
        default=0, ge=0, description="so many records may fail that passed before; null: any number"
    )
    at_most_errors: int = Field(default=0, ge=0, description="so many records may stay without a score")
    decides_failure: bool = Field(
        default=True,
        description="false: a pass or fail of a stored answer says nothing of whether it was a failure",
    )

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if None not in (low := self.pass_from, high := self.pass_up_to) and low > high:  # type: ignore[operator]
            raise ValueError("pass_from is above pass_up_to: no number could pass")
        return self


def _as_scorer(value: Any) -> Any:
    return {"scorer": value} if isinstance(value, str) else value


def _named(value: dict[str, ScorerConfig]) -> dict[str, ScorerConfig]:
    if wrong := [name for name in value if not _NAME.fullmatch(name)]:
        raise ValueError(
            f"{wrong[0]!r}: the name of a scorer has letters, digits, `_`, `.` and `-`, at most 64"
        )
    return value


def _model(value: str) -> str:
    if not _MODEL.fullmatch(value):
        raise ValueError("a provider and a model are expected, such as openai:/gpt-4.1-mini")
    return value


class JudgeConfig(_Part):
    """The model that judges, for scorers that ask one."""

    model: Annotated[str, AfterValidator(_model)] = Field(
        default="openai:/gpt-4.1-mini", description="the model as MLflow names it: provider:/model"
    )
    endpoint: WebAddress | None = Field(
        default=None, description="an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1"
    )
    api_key_env: str | None = Field(
        default=None, description="the environment variable that holds the endpoint's key"
    )
    timeout: DurationUs = Field(default=60 * SECOND_US, description="how long one answer may take")

    @model_validator(mode="after")
    def _openai(self) -> Self:
        if self.endpoint is not None and not self.model.startswith("openai:/"):
            raise ValueError("an endpoint goes with a model that begins with openai:/")
        if self.api_key_env is not None and self.endpoint is None:
            raise ValueError("api_key_env goes with endpoint: providers have variables of their own")
        return self


class EvaluationConfig(_Part):
    """What ``datasets evaluate`` does."""

    scorers: Annotated[
        dict[str, Annotated[ScorerConfig, BeforeValidator(_as_scorer)]], AfterValidator(_named)
    ] = Field(default={}, description="the scorers by the names that they are shown under")
    judge: JudgeConfig = Field(default=JudgeConfig(), description="the model that judges")
    experiment: str | None = Field(
        default=None, min_length=1, description="where runs are kept; absent: the dataset's own experiment"
    )
    retries: int = Field(
        default=4, ge=0, le=20, description="how often a 429, 5xx or timeout is tried again, with back-off"
    )
    workers: int = Field(default=8, ge=1, le=64, description="how many answers are scored at a time")
