"""Evaluations as the store keeps them: what is written once, what a new one is compared with, and what judges
said already.

An evaluation is known by what was judged and by whom: version, scorers, answers.  The same again is the same
evaluation, and writes nothing; an attempt that comes to another result (a judge that was busy answers now)
replaces the former when it is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from store import Store
from tracesieve.evaluation.case import Case, LoadedVersion, content_hash
from tracesieve.evaluation.score import ERROR, FAIL, PASS, Score
from tracesieve.evaluation.scorers import NamedScorer

STORED = "stored"  # what is evaluated: the answers of the records
Known = Mapping[tuple[str, str], Score]  # what judges said, by (hash of the scorer, content)
_HEAD = ["evaluation", "attempt", "dataset", "experiment_id", "version", "answers", "at_us", "run_id"]
_HEAD += ["compared_with", "passed"]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation, its latest attempt; ``shown`` is the beginning of each record's inputs."""

    id: str
    attempt: int
    version: str
    answers: str
    at_us: int
    run_id: str
    compared_with: str | None
    passed: bool
    scores: Sequence[Score]
    shown: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether every scorer gave an answer: what is missing is asked again."""
        return all(one.outcome != ERROR for one in self.scores)


def evaluation_id(
    loaded: LoadedVersion, scorers: Sequence[NamedScorer], answers: str, contents: Mapping[str, str]
) -> str:
    """By what an evaluation is known (16 hex digits); ``contents`` are the hashes of what is judged, by
    record.
    """
    place = loaded.version.place
    judged = [place.key, loaded.version.version, answers, sorted(contents.items())]
    return content_hash(*judged, [[one.name, one.hash] for one in scorers])[:16]


class History:
    """The evaluations of one store; ``dataset`` is the key of its place.

    Delivery guarantee of :meth:`put`: an attempt is there whole or not at all, and counts once however often
    it is repeated.
    """

    def __init__(self, store: Store) -> None:
        self._table = store.table("evaluations")

    def find(self, evaluation: str) -> Evaluation | None:
        """The latest attempt of an evaluation, or None."""
        rows = self._table.read(where=pl.col("evaluation") == evaluation)
        if rows.is_empty():
            return None
        latest = rows.filter(pl.col("attempt") == pl.col("attempt").max())
        return _evaluation(latest.unique(["record", "scorer"], keep="last", maintain_order=True))

    def baseline(
        self, dataset: tuple[str, str], answers: str, before: Evaluation | None, evaluation: str
    ) -> Evaluation | None:
        """What an evaluation is compared with: the last one of the same kind that passed, else the last one.

        Not the last one whatever it said: a regression would be reported once, and pass when it is evaluated
        again.  ``before`` is the same evaluation, where it was made before: it keeps what it was compared
        with.
        """
        if before is not None:
            return self.find(before.compared_with) if before.compared_with else None
        of_set = (
            (pl.col("dataset") == dataset[0])
            & (pl.col("experiment_id") == dataset[1])
            & (pl.col("answers") == answers)
            & (pl.col("evaluation") != evaluation)
        )
        heads = self._latest(of_set).sort("at_us", "evaluation")
        passed = heads.filter("passed")
        found = passed if passed.height else heads
        return self.find(found["evaluation"][-1]) if found.height else None

    def beginning(self, dataset: tuple[str, str], text: str) -> list[str]:
        """The evaluations of a dataset whose id begins so."""
        rows = self._table.read(
            ["evaluation"],
            (pl.col("dataset") == dataset[0])
            & (pl.col("experiment_id") == dataset[1])
            & pl.col("evaluation").str.starts_with(text.lower()),
        )
        return sorted(rows["evaluation"].unique())

    def judged(self, scorers: Collection[NamedScorer], contents: Collection[str] | None) -> Known:
        """What these scorers said before of these contents (None: of any), as far as they ask a model; the
        latest word.
        """
        hashes = {one.hash: one.name for one in scorers if one.asks_model}
        if not hashes:
            return {}
        wanted = pl.lit(True) if contents is None else pl.col("content").is_in(list(contents))
        rows = self._table.read(
            ["scorer_hash", "content", "record", "outcome", "value", "rationale", "at_us"],
            pl.col("scorer_hash").is_in(list(hashes)) & pl.col("outcome").is_in([PASS, FAIL]) & wanted,
        )
        latest = rows.sort("at_us", maintain_order=True).unique(
            ["scorer_hash", "content"], keep="last", maintain_order=True
        )
        return {
            (row["scorer_hash"], row["content"]): Score(
                row["record"],
                hashes[row["scorer_hash"]],
                row["outcome"],
                row["value"],
                row["rationale"],
                row["content"],
                True,
            )
            for row in latest.iter_rows(named=True)
        }

    def put(
        self,
        loaded: LoadedVersion,
        scorers: Sequence[NamedScorer],
        found: Evaluation,
        before: Evaluation | None,
    ) -> Evaluation:
        """Write an evaluation, unless it says what is there already; the one that stands.

        Raises:
            StoreUnwritable: the store cannot be written; evaluate again.
        """
        if before is not None and _result_of(before) == _result_of(found):
            return before
        kept = replace(found, attempt=before.attempt + 1 if before else 0)
        rows = _rows(loaded, {one.name: one for one in scorers}, kept)
        if not self._table.append(rows, app_id=f"evaluate:{kept.id}", version=kept.attempt):
            return self.find(kept.id) or kept  # another process was first
        return kept

    def latest_words(self) -> pl.DataFrame:
        """What was said last of each record of each dataset, by stored answers: ``dataset``,
        ``experiment_id``, ``record``, ``rules``, ``marked_failure``, ``scorer``, ``decides_failure``,
        ``outcome``.
        """
        columns = ["dataset", "experiment_id", "evaluation", "attempt", "at_us", "record", "rules"]
        columns += ["marked_failure", "scorer", "decides_failure", "outcome"]
        rows = self._table.read(columns, pl.col("answers") == STORED)
        key = ["dataset", "experiment_id", "record"]
        order = ["at_us", "evaluation", "attempt"]
        last = (
            rows.sort(order)
            .unique(key, keep="last", maintain_order=True)
            .select(*key, "evaluation", "attempt")
        )
        return rows.join(last, on=[*key, "evaluation", "attempt"], how="semi").unique(
            [*key, "scorer"], keep="last", maintain_order=True
        )

    def _latest(self, where: pl.Expr) -> pl.DataFrame:
        heads = self._table.read(_HEAD, where).unique()
        return heads.sort("attempt").unique("evaluation", keep="last", maintain_order=True)


def _result_of(one: Evaluation) -> tuple[Any, ...]:
    """What makes an attempt another one; a rationale may be worded otherwise each time."""
    return one.passed, sorted((each.record, each.scorer, each.outcome, each.value) for each in one.scores)


def _evaluation(rows: pl.DataFrame) -> Evaluation:
    head = rows.row(0, named=True)
    scores = [
        Score(row["record"], row["scorer"], row["outcome"], row["value"], row["rationale"], row["content"])
        for row in rows.sort("record", "scorer").iter_rows(named=True)
    ]
    return Evaluation(
        head["evaluation"],
        head["attempt"],
        head["version"],
        head["answers"],
        head["at_us"],
        head["run_id"],
        head["compared_with"],
        head["passed"],
        scores,
        dict(rows.select("record", "shown").iter_rows()),
    )


def _rows(
    loaded: LoadedVersion, scorers: Mapping[str, NamedScorer], kept: Evaluation
) -> list[dict[str, Any]]:
    place = loaded.version.place
    cases: dict[str, Case] = {one.key: one for one in loaded.cases}
    head = {
        "evaluation": kept.id,
        "attempt": kept.attempt,
        "dataset": place.dataset,
        "experiment_id": place.experiment_id,
        "version": kept.version,
        "answers": kept.answers,
        "at_us": kept.at_us,
        "run_id": kept.run_id,
        "compared_with": kept.compared_with,
        "passed": kept.passed,
    }
    return [
        {
            **head,
            "record": one.record,
            "shown": _storable(kept.shown[one.record]),
            "rules": list(cases[one.record].rules),
            "marked_failure": cases[one.record].marked_failure,
            "scorer": one.scorer,
            "scorer_hash": scorers[one.scorer].hash,
            "asks_model": scorers[one.scorer].asks_model,
            "decides_failure": scorers[one.scorer].config.decides_failure,
            "content": one.content,
            "outcome": one.outcome,
            "value": _storable(one.value),
            "rationale": _storable(one.rationale),
        }
        for one in kept.scores
    ]


def _storable(text: str) -> str:
    """A text as a column can hold it: no lone surrogates."""
    return text.encode(errors="replace").decode()
