"""Evaluations made by hand: a config with scorers, cases, scores, and a whole result without any server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.versioned_records import PLACE, T0

from sinks.mlflow.dataset_server import digest
from store.dataset_versions import StoredVersion
from tracesieve.config.evaluation import ScorerConfig
from tracesieve.config.loading import load_settings
from tracesieve.config.settings import Settings
from tracesieve.evaluation.case import Case, LoadedVersion
from tracesieve.evaluation.evaluate import Evaluated
from tracesieve.evaluation.gate import judge
from tracesieve.evaluation.history import STORED, Evaluation
from tracesieve.evaluation.score import Passing, Score
from tracesieve.evaluation.scorers import NamedScorer

CONFIG = """source: {{kind: mlflow, tracking_uri: "{uri}", experiments: [support]}}
mlflow: {{tracking_uri: "{uri}"}}
metrics: null
evaluation:
{evaluation}
"""


def write_config(folder: Path, evaluation: str, uri: str = "http://127.0.0.1:9") -> Path:
    """A config whose ``evaluation:`` is that text, each line of it indented by two."""
    inner = "\n".join(f"  {line}" for line in evaluation.strip("\n").splitlines())
    path = folder / "tracesieve.yaml"
    path.write_text(CONFIG.format(uri=uri, evaluation=inner))
    return path


def settings_with(folder: Path, evaluation: str) -> Settings:
    return load_settings(write_config(folder, evaluation))


def case(question: str, answer: Any = "a", marked: bool | None = None, **expectations: Any) -> Case:
    inputs = {"q": question}
    return Case(digest(inputs), inputs, answer, expectations, ("tool-errors@abc",), marked)


def loaded(cases: Sequence[Case], version: str = "v1") -> LoadedVersion:
    stored = StoredVersion(0, PLACE, "d-1", version, T0, len(cases), len(cases))
    return LoadedVersion(stored, sorted(cases, key=lambda one: one.key))


def named(name: str, **config: Any) -> NamedScorer:
    """A scorer that is never asked."""
    asks = bool(config.pop("asks_model", False))
    return NamedScorer(name, None, ScorerConfig(scorer="x:y", **config), Passing(), f"hash-{name}", asks)


def scores(outcomes: Mapping[tuple[str, str], str], rationale: str = "why") -> list[Score]:
    """Scores by question and scorer."""
    return sorted(
        (
            Score(case(question).key, scorer, outcome, "v", rationale, f"content-{case(question).key[:8]}")
            for (question, scorer), outcome in outcomes.items()
        ),
        key=lambda one: (one.record, one.scorer),
    )


def evaluation(found: Sequence[Score], cases: Sequence[Case], name: str = "e1", **more: Any) -> Evaluation:
    shown = {one.key: one.shown for one in cases}
    given = {"attempt": 0, "version": "v1", "answers": STORED, "at_us": T0, "run_id": "r"}
    given |= {"compared_with": None, "passed": True, **more}
    return Evaluation(name, scores=found, shown=shown, **given)


def evaluated(
    now: Mapping[tuple[str, str], str],
    before: Mapping[tuple[str, str], str] | None = None,
    *,
    question: str = "",
    rationale: str = "why",
    scorers: Sequence[NamedScorer] = (),
) -> Evaluated:
    """A whole result; ``question`` stands in the place of the question ``q`` of ``now``."""
    cases = [case(one) for one in {key[0] for key in now}]
    found = scores(now, rationale)
    by_name = list(scorers) or [named(one) for one in sorted({key[1] for key in now})]
    earlier = None if before is None else evaluation(scores(before), cases, "e0")
    verdict = judge(found, earlier.scores if earlier else None, {one.name: one.config for one in by_name})
    made = evaluation(found, cases, passed=verdict.passed)
    if question:
        made = evaluation(found, [Case(one.key, {"q": question}) for one in cases], passed=verdict.passed)
    return Evaluated(loaded(cases), made, earlier, verdict, by_name, False, 0)
