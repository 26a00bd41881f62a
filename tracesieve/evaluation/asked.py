"""Each scorer of an evaluation as MLflow calls it: asked once a record, its answer noted here, an error of it
never a pass.

MLflow itself keeps the values only as columns of a frame that may be missing, and its means leave out what a
judge did not answer, as if it had not been asked (mlflow#24404).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracesieve.evaluation.case import Case, content_hash
from tracesieve.evaluation.history import Known
from tracesieve.evaluation.judge import failure_behind
from tracesieve.evaluation.retrying import Sleep, retried
from tracesieve.evaluation.score import ERROR, FAIL, SKIPPED, Passing, Score, bounded, outcome_of, worst
from tracesieve.evaluation.scorers import NamedScorer, is_of_mlflow, lacks

_TRIES = 2  # a judge that talked nonsense is asked once more
_MOST_VALUE = 200  # characters of a value that are kept


@dataclass(frozen=True)
class _Reply:
    """What a scorer said: the outcome, and MLflow's feedback that shows it (None: nothing to show)."""

    outcome: str
    value: Any = ""
    rationale: str = ""
    feedback: Any = None
    reused: bool = False


class Asked:
    """The scores of one evaluation; safe to share between threads.

    ``answers`` are by key of the case: what is judged, or the exception of the application in its place.
    Code whose own model is busy is called again, ``retries`` times.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        known: Known,
        answers: Mapping[str, Any],
        retries: int = 0,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._cases = {one.key: one for one in cases}
        self._known = known
        self._answers = answers
        self._retries, self._sleep = retries, sleep
        self._lock = threading.Lock()
        self._scores: dict[tuple[str, str], Score] = {}

    def scores(self, scorers: Sequence[NamedScorer]) -> list[Score]:
        """A score of each of these scorers about every record, sorted; one that was never asked is an
        error.
        """
        pairs = sorted((key, one.name) for key in self._cases for one in scorers)
        with self._lock:
            return [
                self._scores.get(pair) or Score(*pair, ERROR, rationale="MLflow did not ask it")
                for pair in pairs
            ]

    def __len__(self) -> int:
        return len(self._scores)

    def for_mlflow(self, named: NamedScorer, key_of: Callable[[Any], str]) -> Any:
        """A scorer of MLflow that asks ``named`` and notes what it says; ``key_of`` knows a case by its
        inputs.
        """
        from mlflow.genai.scorers import scorer

        @scorer(name=named.name, timeout=0)  # type: ignore[untyped-decorator]
        def asked(inputs: Any, trace: Any) -> Any:
            case = self._cases[key_of(inputs)]
            content = content_of(case, self._answers.get(case.key))
            reply = self._ask(named, case, content, trace)
            value = "" if reply.value is None else str(getattr(reply.value, "value", reply.value))
            score = Score(
                case.key,
                named.name,
                reply.outcome,
                bounded(value, _MOST_VALUE),
                bounded(reply.rationale),
                content,
                reply.reused,
            )
            with self._lock:
                self._scores[case.key, named.name] = score
            return reply.feedback

        try:
            asked._cached_dump = named.scorer.model_dump()  # lineage names the scorer, not this function
        except Exception:  # noqa: BLE001 - some scorers cannot be described, which MLflow allows
            asked._cached_dump = None
        return asked

    def _ask(self, named: NamedScorer, case: Case, content: str, trace: Any) -> _Reply:
        answer = self._answers.get(case.key)
        if isinstance(answer, BaseException):
            return _fails(named, f"the application raised {type(answer).__name__}: {answer}")
        if missing := lacks(named, case.expectations):
            return _Reply(SKIPPED, rationale=f"the record lacks {missing}")
        if answer is None and is_of_mlflow(named):
            return _fails(named, "there is no answer")
        before = self._known.get((named.hash, content)) if named.asks_model else None
        if before is not None:
            feedback = _feedback(named, before.value, before.rationale)
            return _Reply(before.outcome, before.value, before.rationale, feedback, True)
        try:
            retries = 0 if named.asks_model else self._retries  # those of a judge are its line's
            found = retried(lambda: _called(named, case, answer, trace), retries, self._sleep)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the scorer's, and is counted as one
            return _error(named, _reason(error))
        if found is None:
            return _Reply(SKIPPED, rationale="the scorer has nothing to say of it")
        return _judged(named, found)


def content_of(case: Case, answer: Any) -> str:
    """The hash of what is judged: inputs, answer and expectations."""
    raised = isinstance(answer, BaseException)
    shown = f"{type(answer).__name__}: {answer}" if raised else answer
    return content_hash(case.inputs, [raised, shown], case.expectations)


def _judged(named: NamedScorer, found: Any) -> _Reply:
    """What a scorer gave: a value, a feedback of MLflow, or several."""
    parts = found if isinstance(found, list) else [found]
    outcomes, values, reasons = [], [], []
    for part in parts:
        value, rationale, failed = _parts_of(part)
        outcome, wrong = (ERROR, failed) if failed else _outcome(value, named.passing)
        outcomes.append(outcome)
        values.append(value)
        reasons.append(wrong or rationale)
    outcome, rationale = worst(outcomes), "; ".join(one for one in reasons if one)
    if outcome == ERROR:
        return _error(named, rationale)
    if len(parts) == 1 and hasattr(parts[0], "name"):
        parts[0].name = named.name
    return _Reply(outcome, values[0] if len(values) == 1 else ", ".join(map(str, values)), rationale, found)


def _called(named: NamedScorer, case: Case, answer: Any, trace: Any) -> Any:
    """The scorer's answer; one of MLflow's cannot take a bare number or list, and gets it as JSON."""
    odd = is_of_mlflow(named) and not isinstance(answer, str | dict)
    given = json.dumps(answer, default=str) if odd else answer
    for again in reversed(range(_TRIES if named.asks_model else 1)):
        try:
            return named.scorer.run(
                inputs=dict(case.inputs), outputs=given, expectations=dict(case.expectations), trace=trace
            )
        except Exception as error:
            if failure_behind(error) is not None or not again:
                raise
    raise AssertionError("a loop that returns or raises")


def _outcome(value: Any, passing: Passing) -> tuple[str, str]:
    try:
        return outcome_of(value, passing)
    except Exception as error:  # noqa: BLE001 - a `pass_if` of the user's
        return ERROR, f"pass_if raised {type(error).__name__}: {error}"


def _parts_of(part: Any) -> tuple[Any, str, str]:
    """The value, the rationale, and the error that a feedback bears in the place of a value."""
    from mlflow.entities import Feedback

    if not isinstance(part, Feedback):
        return part, "", ""
    error = part.error
    failed = "" if error is None else str(getattr(error, "error_message", None) or error)
    return part.value, str(part.rationale or ""), failed


def _fails(named: NamedScorer, why: str) -> _Reply:
    return _Reply(FAIL, "", why, _feedback(named, False, why))


def _error(named: NamedScorer, why: str) -> _Reply:
    """No answer: MLflow shows an error, and no value that a mean could take in."""
    from mlflow.entities import AssessmentError, Feedback

    error = AssessmentError("SCORER_ERROR", bounded(why))
    return _Reply(ERROR, "", why, Feedback(name=named.name, source=_source(named), error=error))


def _feedback(named: NamedScorer, value: Any, rationale: str) -> Any:
    from mlflow.entities import Feedback

    return Feedback(name=named.name, value=value, rationale=rationale, source=_source(named))


def _source(named: NamedScorer) -> Any:
    from mlflow.entities import AssessmentSource

    kind = "LLM_JUDGE" if named.asks_model else "CODE"
    return AssessmentSource(kind, str(getattr(named.scorer, "model", None) or named.name))


def _reason(error: Exception) -> str:
    judge = failure_behind(error)
    return f"the judge gave no answer: {judge}" if judge is not None else f"{type(error).__name__}: {error}"
