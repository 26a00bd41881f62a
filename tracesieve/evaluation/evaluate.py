"""``datasets evaluate`` from beginning to end: a version, its scorers, a run of MLflow, the gate, the
store.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sinks.credentials import secret
from sinks.mlflow.server import classify_error, client
from store import Store
from tracesieve.config.file import ConfigFile
from tracesieve.errors import ConfigError, OutsideError, TracesieveError
from tracesieve.evaluation.asked import content_of
from tracesieve.evaluation.case import Case, LoadedVersion, load
from tracesieve.evaluation.code import load_code
from tracesieve.evaluation.gate import Verdict, judge
from tracesieve.evaluation.history import STORED, Evaluation, History, evaluation_id
from tracesieve.evaluation.judge import JudgeLine
from tracesieve.evaluation.score import ERROR, Score, bounded
from tracesieve.evaluation.scorers import NamedScorer, scorers_of
from tracesieve.evaluation.scoring import Application, Run, Scored, Shows, score

if TYPE_CHECKING:
    from tracesieve.config.settings import Settings

_TAG = "tracesieve.evaluation"


@dataclass(frozen=True)
class Wanted:
    """What is to be evaluated.

    Attributes:
        name: ``NAME``, or ``NAME@VERSION``.
        application: ``module:function`` that gives fresh answers; None: the stored ones are judged.
        experiment: where the run goes, by name; None: as the config says.
        against: the beginning of the id of the evaluation to compare with; None: the last that passed.
        fresh: also ask what was asked before.
    """

    name: str
    application: str | None = None
    experiment: str | None = None
    against: str | None = None
    fresh: bool = False


@dataclass(frozen=True)
class Evaluated:
    """What came of it; ``repeated``: the store knew it, and nobody was asked anything."""

    loaded: LoadedVersion
    evaluation: Evaluation
    before: Evaluation | None
    verdict: Verdict
    scorers: Sequence[NamedScorer]
    repeated: bool
    questions: int


def evaluate(
    settings: Settings, store: Store, wanted: Wanted, now_us: int, progress: Shows = lambda describe: None
) -> Evaluated:
    """Judge the answers of a version, compare them with those before, and keep what was said.

    Raises:
        TracesieveError: a mistake of the user's: no such version, scorer, application or secret.
        OutsideError: the server or the judge cannot be reached; nothing is kept, and a repeat begins anew.
        StoreUnwritable: what was said cannot be kept; evaluate again.
    """
    from mlflow.exceptions import MlflowException

    loaded = load(store, wanted.name)
    if not loaded.cases:
        raise TracesieveError(f"{wanted.name}: the version has no records")
    scorers = scorers_of(settings, loaded.name)
    application = _application(settings, wanted, loaded.cases)
    _check_secrets(settings, scorers)
    history = History(store)
    try:
        return _Evaluating(settings, loaded, scorers, history, wanted, now_us).go(application, progress)
    except MlflowException as error:
        uri = _tracking_uri(settings)
        raise OutsideError(
            f"the evaluation at {uri} did not come to its end: {classify_error(error)}"
        ) from error


class _Evaluating:
    """One evaluation, under way."""

    def __init__(
        self,
        settings: Settings,
        loaded: LoadedVersion,
        scorers: Sequence[NamedScorer],
        history: History,
        wanted: Wanted,
        now_us: int,
    ) -> None:
        self._settings, self._loaded, self._scorers = settings, loaded, scorers
        self._history, self._wanted, self._now_us = history, wanted, now_us
        self._answers_from = wanted.application or STORED
        self._against = self._named_baseline()

    def go(self, application: Application | None, progress: Shows) -> Evaluated:
        """Look whether it is known, ask, and judge."""
        before = None
        if application is None:
            before = self._history.find(self._id({one.key: one.outputs for one in self._loaded.cases}))
            if before is not None and before.complete and not self._wanted.fresh:
                return self._judged(before, before, repeated=True, questions=0)
        line = JudgeLine(self._settings.evaluation)
        scored = self._score(application, line, progress)
        self._refuse_silence(scored.scores, line)
        found_id = self._id(scored.answers)
        client(_tracking_uri(self._settings)).set_tag(scored.run_id, _TAG, found_id)
        before = before or self._history.find(found_id)
        found = Evaluation(
            id=found_id,
            attempt=0,
            version=self._loaded.version.version,
            answers=self._answers_from,
            at_us=self._now_us,
            run_id=scored.run_id,
            compared_with=None,
            passed=False,
            scores=scored.scores,
            shown={one.key: one.shown for one in self._loaded.cases},
        )
        return self._judged(found, before, repeated=False, questions=line.requests)

    def _judged(
        self, found: Evaluation, before: Evaluation | None, *, repeated: bool, questions: int
    ) -> Evaluated:
        place = self._loaded.version.place.key
        baseline = self._against or self._history.baseline(place, found.answers, before, found.id)
        configs = {one.name: one.config for one in self._scorers}
        verdict = judge(found.scores, baseline.scores if baseline else None, configs)
        found = replace(found, passed=verdict.passed, compared_with=baseline.id if baseline else None)
        kept = self._history.put(self._loaded, self._scorers, found, before)
        return Evaluated(self._loaded, kept, baseline, verdict, self._scorers, repeated, questions)

    def _score(self, application: Application | None, line: JudgeLine, progress: Shows) -> Scored:
        stored = None if application else {content_of(one, one.outputs) for one in self._loaded.cases}
        reusable = {} if self._wanted.fresh else self._history.judged(self._scorers, stored)
        version = self._loaded.version
        tags = {
            "tracesieve.dataset": version.place.dataset,
            "tracesieve.version": version.version,
            "tracesieve.answers": self._answers_from[:250],
        }
        run = Run(
            _tracking_uri(self._settings),
            self._experiment_id(),
            f"{version.place.dataset}@{version.version[:12]}",
            tags,
        )
        return score(
            self._loaded.cases,
            self._scorers,
            run,
            self._settings.evaluation,
            line,
            known=reusable,
            application=application,
            progress=progress,
        )

    def _id(self, answers: Any) -> str:
        contents = {one.key: content_of(one, answers.get(one.key)) for one in self._loaded.cases}
        return evaluation_id(self._loaded, self._scorers, self._answers_from, contents)

    def _named_baseline(self) -> Evaluation | None:
        text = self._wanted.against
        if text is None:
            return None
        known = self._history.beginning(self._loaded.version.place.key, text)
        if len(known) != 1:
            what = (
                "there is no such evaluation of it" if not known else f"several begin so: {', '.join(known)}"
            )
            raise TracesieveError(f"--against {text}: {what}")
        return self._history.find(known[0])

    def _experiment_id(self) -> str:
        name = self._wanted.experiment or self._settings.evaluation.experiment
        if name is None:
            return self._loaded.version.place.experiment_id
        server = client(_tracking_uri(self._settings))
        found = server.get_experiment_by_name(name)
        return str(found.experiment_id if found else server.create_experiment(name))

    def _refuse_silence(self, scores: Sequence[Score], line: JudgeLine) -> None:
        """A judge that answered nothing at all is a failure outside, not a result."""
        if line.requests and not line.answers and any(one.outcome == ERROR for one in scores):
            judging = self._settings.evaluation.judge
            where = judging.endpoint or judging.model
            hint = f" (its key is in {judging.api_key_env})" if judging.api_key_env else ""
            asked = f"{line.requests:,} questions"
            raise OutsideError(f"the judge at {where} answered none of {asked}: {line.last_failure}{hint}")


def _application(settings: Settings, wanted: Wanted, cases: Sequence[Case]) -> Application | None:
    """The function that gives fresh answers to these records."""
    if wanted.application is None:
        return None
    if ":" not in wanted.application:
        raise TracesieveError(f"--predict {wanted.application}: write module:function, or file.py:function")
    found: Callable[..., Any] = load_code(wanted.application, settings.base_dir).value
    if not callable(found):
        raise TracesieveError(f"--predict {wanted.application}: it is no function")
    if wrong := _refusal(found, cases):
        raise TracesieveError(f"--predict {wanted.application}: {wrong}")
    if inspect.iscoroutinefunction(found):
        import asyncio

        return lambda **inputs: asyncio.run(found(**inputs))
    return found


def _refusal(function: Callable[..., Any], cases: Sequence[Case]) -> str:
    """Why a function can take the inputs of no record as arguments, or ""."""
    wrong = ""
    for case in cases:
        try:
            inspect.signature(function).bind(**case.inputs)
        except TypeError as error:
            named = bounded(", ".join(case.inputs), 100)
            wrong = wrong or f"it does not take the inputs of a record ({named}) as arguments: {error}"
        except ValueError:  # of a function of C nothing is known beforehand
            return ""
        else:
            return ""
    return wrong


def _check_secrets(settings: Settings, scorers: Sequence[NamedScorer]) -> None:
    """Whether the keys of judging models are there, before anything is asked."""
    asking = [one for one in scorers if one.asks_model]
    config = settings.evaluation.judge
    file = ConfigFile.read(settings.config_file)
    if asking and config.api_key_env and not secret(config.api_key_env):
        message = f"the environment variable {config.api_key_env} is not set"
        raise ConfigError([file.fault(("evaluation", "judge", "api_key_env"), message)])
    openai = [one.name for one in asking if one.scorer.model.startswith("openai:/")]
    if openai and config.endpoint is None and not secret("OPENAI_API_KEY"):
        message = f"{openai[0]} asks a model of OpenAI, and OPENAI_API_KEY is not set"
        hint = "set it, or name an endpoint of your own in evaluation.judge.endpoint"
        raise ConfigError([file.fault(("evaluation", "judge"), message, hint)])


def _tracking_uri(settings: Settings) -> str:
    target = settings.sinks.get("mlflow")
    if target is None:
        file = ConfigFile.read(settings.config_file)
        message = "evaluations are kept on an MLflow server: name one"
        hint = 'such as `mlflow: {tracking_uri: "http://127.0.0.1:5000"}`'
        raise ConfigError([file.fault(("mlflow",), message, hint)])
    return str(target.tracking_uri)
