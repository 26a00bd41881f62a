"""What an evaluation says, as ``--json`` prints it and as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rules.units import readable_time
from tracesieve.evaluation.evaluate import Evaluated
from tracesieve.evaluation.gate import Change, ScorerResult
from tracesieve.evaluation.history import STORED
from tracesieve.json_output import iso
from tracesieve.terminal import fitted, plain, table, wrapped

_DIGITS = 12  # of a hash, where it is shown
_MOST_LISTED = 10


def as_json(found: Evaluated) -> dict[str, Any]:
    """The document of ``datasets evaluate --json``."""
    place, now, verdict = found.loaded.version.place, found.evaluation, found.verdict
    return {
        "passed": verdict.passed,
        "reasons": list(verdict.reasons),
        "dataset": place.dataset,
        "version": now.version,
        "answers": now.answers,
        "evaluation": now.id,
        "evaluated": iso(now.at_us),
        "repeated": found.repeated,
        "run_id": now.run_id,
        "records": len(found.loaded.cases),
        "questions": found.questions,
        "reused": sum(one.reused for one in now.scores),
        "compared_with": _compared(found),
        "scorers": [_scorer(one) for one in verdict.scorers],
        **{
            name: [_changed(found, one) for one in changes]
            for name, changes in (
                ("worse", verdict.worse),
                ("fixed", verdict.fixed),
                ("errors", verdict.errors),
            )
        },
        "new": list(verdict.new),
        "gone": list(verdict.gone),
    }


def lines(found: Evaluated) -> Iterator[str]:
    """The same for a person, within the width of the terminal."""
    place, now, verdict = found.loaded.version.place, found.evaluation, found.verdict
    of_whom = "stored answers" if now.answers == STORED else f"answers of {now.answers}"
    yield wrapped(
        f"{place.dataset}, version {now.version[:_DIGITS]}: {of_whom} to {len(found.loaded.cases):,} records"
    )
    yield wrapped(_history_line(found))
    if found.repeated:
        yield wrapped(f"evaluated {readable_time(now.at_us)}; nothing has changed, nobody was asked again")
    yield ""
    headings = ("scorer", "pass", "fail", "error", "skipped", "worse", "passing", "bound")
    rows = [_row(one, found) for one in verdict.scorers]
    yield from table(headings, rows, numbers=range(1, len(headings)))
    for title, changes in (
        ("worse: passed before, fails now", verdict.worse),
        ("fixed: failed before, passes now", verdict.fixed),
        ("error: no score", verdict.errors),
    ):
        yield from _listed(found, title, changes)
    if verdict.new or verdict.gone:
        yield wrapped(f"records: {len(verdict.new):,} new, {len(verdict.gone):,} gone")
    yield ""
    for reason in verdict.reasons:
        yield wrapped(reason, "  ", hang=4)
    run = f", run {now.run_id} of MLflow" if now.run_id else ""
    yield wrapped(f"{'passed' if verdict.passed else 'FAILED'} (evaluation {now.id}{run})")


def headline(found: Evaluated) -> str:
    """One line: passed or failed, of what."""
    word = "passed" if found.verdict.passed else "failed"
    return f"{found.loaded.name}@{found.evaluation.version[:_DIGITS]} {word}"


def bound_text(found: Evaluated, name: str) -> str:
    """The share that a scorer must reach, or ``-``."""
    least = next(one.config.at_least for one in found.scorers if one.name == name)
    return "-" if least is None else f"{least:.1%}"


def inputs_of(found: Evaluated, record: str) -> str:
    """The beginning of a record's inputs, of this evaluation or the one before; hostile as they are."""
    earlier: Mapping[str, str] = found.before.shown if found.before else {}
    return found.evaluation.shown.get(record) or earlier.get(record, "")


def _history_line(found: Evaluated) -> str:
    before = found.before
    if before is None:
        return "the first evaluation of its kind: there is nothing to compare with"
    word = "passed" if before.passed else "did not pass"
    return (
        f"compared with evaluation {before.id} of {readable_time(before.at_us)}, which {word} "
        f"(version {before.version[:_DIGITS]})"
    )


def _listed(found: Evaluated, title: str, changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        return
    yield ""
    yield f"{title}:"
    for one in changes[:_MOST_LISTED]:
        yield fitted(f"  {one.record[:_DIGITS]}  {one.scorer}: {plain(inputs_of(found, one.record))}")
        if one.rationale:
            yield fitted(f"      {plain(one.rationale)}")
    if len(changes) > _MOST_LISTED:
        yield f"  and {len(changes) - _MOST_LISTED:,} more (--json has them all)"


def _row(one: ScorerResult, found: Evaluated) -> tuple[str, ...]:
    share = "-" if one.share is None else f"{one.share:.1%}"
    counts = (one.passed, one.failed, one.errors, one.skipped, one.worse)
    return (one.name, *(f"{number:,}" for number in counts), share, bound_text(found, one.name))


def _scorer(one: ScorerResult) -> dict[str, Any]:
    return {
        "scorer": one.name,
        "passed": one.passed,
        "failed": one.failed,
        "errors": one.errors,
        "skipped": one.skipped,
        "worse": one.worse,
        "share": one.share,
        "values": dict(one.numbers),
    }


def _changed(found: Evaluated, one: Change) -> dict[str, str]:
    return {
        "record": one.record,
        "inputs": inputs_of(found, one.record),
        "scorer": one.scorer,
        "rationale": one.rationale,
    }


def _compared(found: Evaluated) -> dict[str, Any] | None:
    before = found.before
    if before is None:
        return None
    return {
        "evaluation": before.id,
        "version": before.version,
        "evaluated": iso(before.at_us),
        "passed": before.passed,
    }
