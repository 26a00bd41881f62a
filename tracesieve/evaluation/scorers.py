"""The scorers of the config, made: MLflow's own by name, the user's by where their code is."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules.diagnostics import Diagnostic
from tracesieve.config.evaluation import EvaluationConfig, JudgeConfig, ScorerConfig
from tracesieve.config.file import ConfigFile
from tracesieve.config.settings import Settings
from tracesieve.errors import ConfigError, TracesieveError
from tracesieve.evaluation.case import content_hash
from tracesieve.evaluation.code import CodeNotFoundError, is_code, load_code
from tracesieve.evaluation.score import Passing

_TAKES = {"inputs", "outputs", "expectations", "trace"}


class NoScorerError(TracesieveError):
    """A scorer that cannot be made as the config says; the message says why."""

    def __init__(self, message: str, key: str = "scorer", hint: str = "") -> None:
        super().__init__(message)
        self.key, self.hint = key, hint


@dataclass(frozen=True)
class NamedScorer:
    """A scorer that can be asked.

    Attributes:
        scorer: MLflow's object.
        hash: changes with whatever changes what it says: code, arguments, model, what passes.
        asks_model: it asks a judging model, so that its answers cost money and are kept.
    """

    name: str
    scorer: Any
    config: ScorerConfig
    passing: Passing
    hash: str
    asks_model: bool


def scorers_of(settings: Settings, dataset: str) -> list[NamedScorer]:
    """The scorers that judge a dataset, by name.

    Raises:
        ConfigError: scorers cannot be made, all of them at once; or there is none for that dataset.
    """
    config = settings.evaluation
    file = ConfigFile.read(settings.config_file)
    faults: list[Diagnostic] = []
    made: list[NamedScorer] = []
    for name, one in sorted(config.scorers.items()):
        if one.datasets and dataset not in one.datasets:
            continue
        try:
            made.append(_made(name, one, config, settings.base_dir))
        except NoScorerError as error:
            place = ("evaluation", "scorers", name, error.key)
            faults.append(file.fault(place, str(error), error.hint))
    if faults:
        raise ConfigError(faults)
    if not made:
        hint = "such as `evaluation: {scorers: {safe: Safety}}`"
        raise ConfigError([file.fault(("evaluation", "scorers"), f"no scorer judges {dataset}", hint)])
    return made


def _made(name: str, one: ScorerConfig, config: EvaluationConfig, folder: str) -> NamedScorer:
    if is_code(one.scorer):
        scorer, source = _of_code(name, one, folder)
    else:
        scorer, source = _of_mlflow(name, one, config.judge)
    if scorer.is_session_level_scorer:
        raise NoScorerError(f"{one.scorer} judges whole conversations, and a record is a single answer")
    asks_model = isinstance(getattr(scorer, "model", None), str)
    passing = Passing(one.pass_from, one.pass_up_to, scorer.pass_if)
    meaning = [one.scorer, one.arguments, one.pass_from, one.pass_up_to, source]
    if asks_model:
        meaning += [scorer.model, config.judge.endpoint]
    return NamedScorer(name, scorer, one, passing, content_hash(*meaning)[:16], asks_model)


def _of_mlflow(name: str, one: ScorerConfig, judge: JudgeConfig) -> tuple[Any, str]:
    from mlflow.exceptions import MlflowException

    known = _classes()
    found = known.get(one.scorer)
    if found is None and is_of_conversations(one.scorer):
        raise NoScorerError(f"{one.scorer} judges whole conversations, and a record is a single answer")
    if found is None:
        near = difflib.get_close_matches(one.scorer, known, 1, 0.6)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
        raise NoScorerError(f"MLflow has no scorer {one.scorer}", hint=hint)
    arguments: dict[str, Any] = {"name": name, **one.arguments}
    if "model" in found.model_fields:
        arguments.setdefault("model", judge.model)
        arguments.setdefault("timeout", 0)  # how long it may take is a matter of the judge's own retries
    if unknown := sorted(set(arguments) - set(found.model_fields)):
        takes = sorted(set(found.model_fields) - {"name", "description", "aggregations", "required_columns"})
        raise NoScorerError(
            f"{one.scorer} takes no {unknown[0]}", "arguments", f"it takes {', '.join(takes) or 'none'}"
        )
    try:
        return found(**arguments), ""
    except (ValueError, MlflowException) as error:
        raise NoScorerError(_why(error, one.scorer), "arguments") from error


def _classes() -> dict[str, Any]:
    """MLflow's scorers of single answers, by name."""
    from mlflow.genai.scorers import builtin_scorers

    return {
        name: value
        for name, value in vars(builtin_scorers).items()
        if inspect.isclass(value)
        and issubclass(value, builtin_scorers.BuiltInScorer)
        and not inspect.isabstract(value)
        and not issubclass(value, builtin_scorers.SessionLevelScorer)
        and not name.startswith("_")
        and value is not builtin_scorers.BuiltInScorer
    }


def is_of_conversations(name: str) -> bool:
    """Whether it is a scorer of MLflow that judges sessions of several traces."""
    from mlflow.genai.scorers import builtin_scorers

    found = getattr(builtin_scorers, name, None)
    return inspect.isclass(found) and issubclass(found, builtin_scorers.SessionLevelScorer)


def _why(error: Exception, scorer: str) -> str:
    """What is wrong with the arguments, in a line: pydantic's own message names its web page."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        parts = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" if one["loc"] else one["msg"]
            for one in error.errors()
        ]
        return f"{scorer}: {'; '.join(parts)}"
    return f"{scorer}: {error}"


def _of_code(name: str, one: ScorerConfig, folder: str) -> tuple[Any, str]:
    from mlflow.genai.scorers import Scorer, scorer

    try:
        code = load_code(one.scorer, folder)
    except CodeNotFoundError as error:
        raise NoScorerError(str(error)) from error
    value = code.value
    if inspect.isclass(value) and issubclass(value, Scorer):
        try:
            return value(**{"name": name, **one.arguments}), code.source_hash
        except (TypeError, ValueError) as error:
            raise NoScorerError(_why(error, one.scorer), "arguments") from error
    if isinstance(value, Scorer):
        if one.arguments:
            raise NoScorerError(f"{one.scorer} is made already: it takes no arguments", "arguments")
        return value, code.source_hash
    if not callable(value):
        raise NoScorerError(f"{one.scorer} is no function and no scorer")
    return scorer(_taking(value, one), name=name), code.source_hash


def _taking(function: Any, one: ScorerConfig) -> Any:
    """The function as MLflow calls it: with those of inputs, outputs, expectations and trace that it names,
    and the arguments of the config.
    """
    parameters = inspect.signature(function).parameters
    everything = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    unknown = [key for key in one.arguments if key not in parameters and not everything]
    if unknown:
        raise NoScorerError(f"{one.scorer} takes no {unknown[0]}", "arguments")
    lacking = [
        each.name
        for each in parameters.values()
        if each.default is each.empty
        and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY, each.POSITIONAL_ONLY)
        and each.name not in _TAKES | one.arguments.keys()
    ]
    if lacking:
        hint = "a scorer takes inputs, outputs, expectations and trace; the rest goes into arguments"
        raise NoScorerError(f"{one.scorer} needs {', '.join(lacking)}", "arguments", hint)
    given = {key for key in _TAKES if key in parameters or everything}

    @functools.wraps(function)
    def called(inputs: Any = None, outputs: Any = None, expectations: Any = None, trace: Any = None) -> Any:
        offered = {"inputs": inputs, "outputs": outputs, "expectations": expectations, "trace": trace}
        return function(**{key: offered[key] for key in given}, **one.arguments)

    del called.__wrapped__  # its own parameters are what MLflow is to see
    return called


def is_of_mlflow(named: NamedScorer) -> bool:
    """Whether it is one of MLflow's own, which take texts and say which expectations they need."""
    from mlflow.genai.scorers.builtin_scorers import BuiltInScorer

    return isinstance(named.scorer, BuiltInScorer)


def lacks(named: NamedScorer, expectations: Mapping[str, Any]) -> str:
    """What a record lacks that one of MLflow's scorers needs, or ""; that is no failure of the answer."""
    from mlflow.genai.scorers.builtin_scorers import MissingColumnsException

    if not is_of_mlflow(named):
        return ""
    there = {"inputs", "outputs", "trace", *(f"expectations/{key}" for key in expectations)}
    try:
        named.scorer.validate_columns(there)
    except MissingColumnsException as error:
        return ", ".join(_readable(error.missing_columns))
    return ""


def _readable(columns: Sequence[str]) -> Iterator[str]:
    return (str(column).replace("expectations/", "the expectation ") for column in sorted(columns))
