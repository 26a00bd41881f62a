"""One evaluation run of MLflow over the records of a version: stored answers, or a fresh one each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sinks.mlflow.dataset_server import digest
from tracesieve.config.evaluation import EvaluationConfig
from tracesieve.evaluation.asked import Asked
from tracesieve.evaluation.case import Case
from tracesieve.evaluation.history import Known
from tracesieve.evaluation.judge import JudgeLine, asked_through
from tracesieve.evaluation.quiet import quiet_mlflow
from tracesieve.evaluation.retrying import retried
from tracesieve.evaluation.score import Score
from tracesieve.evaluation.scorers import NamedScorer

Application = Callable[..., Any]
Shows = Callable[[Callable[[], str]], object]


@dataclass(frozen=True)
class Run:
    """Where a run of MLflow goes: the server, the experiment's id, the run's name and tags."""

    tracking_uri: str
    experiment_id: str
    name: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Scored:
    """What came of it; ``answers`` are what was judged, or the application's exceptions, by key of the
    case.
    """

    run_id: str
    scores: Sequence[Score]
    answers: Mapping[str, Any]


def score(
    cases: Sequence[Case],
    scorers: Sequence[NamedScorer],
    run: Run,
    config: EvaluationConfig,
    line: JudgeLine,
    *,
    known: Known,
    application: Application | None = None,
    progress: Shows = lambda describe: None,
) -> Scored:
    """Ask every scorer about every record, in a run of MLflow that shows each answer with its scores.

    ``progress`` is given a function that says how far it is.

    Raises:
        MlflowException: the server failed.
    """
    answers: dict[str, Any] = {} if application else {one.key: one.outputs for one in cases}
    asked = Asked(cases, known, answers, config.retries)
    total = len(cases) * len(scorers)
    progress(lambda: f"{len(asked):,} of {total:,} scores, {line.requests:,} questions to the judge")
    with quiet_mlflow(config.workers), asked_through(line, config.judge):
        import mlflow

        mlflow.set_tracking_uri(run.tracking_uri)
        mlflow.set_experiment(experiment_id=run.experiment_id)
        with mlflow.start_run(run_name=run.name, tags=dict(run.tags)) as active:
            mlflow.genai.evaluate(
                data=[_row(one, with_answer=application is None) for one in cases],
                scorers=[asked.for_mlflow(one, digest) for one in scorers],
                predict_fn=_predicting(application, answers, config.retries) if application else None,
            )
            run_id = str(active.info.run_id)
    return Scored(run_id, asked.scores(scorers), answers)


def _row(case: Case, *, with_answer: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"inputs": dict(case.inputs)}
    if with_answer:
        odd = isinstance(case.outputs, int | float)  # in a column with gaps it would be another number
        row["outputs"] = json.dumps(case.outputs) if odd else case.outputs
    if case.expectations:
        row["expectations"] = dict(case.expectations)
    return row


def _predicting(application: Application, answers: dict[str, Any], retries: int) -> Application:
    """The application as MLflow calls it: one trace a record, its answer or its exception noted."""
    import mlflow

    @mlflow.trace(name="application")  # type: ignore[untyped-decorator]
    def predict(**inputs: Any) -> Any:
        key = digest(inputs)
        try:
            answers[key] = retried(lambda: application(**inputs), retries)
        except Exception as error:
            answers[key] = error
            raise
        return answers[key]

    named: Application = predict
    return named
