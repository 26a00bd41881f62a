"""An evaluation as Markdown, for a comment on a pull request: a table of the scorers, then what became worse.

Texts of records and judges are hostile: each character that Markdown, HTML or a forge would act upon (a link,
a mention, a reference) is written as an entity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracesieve.evaluation.document import bound_text, headline, inputs_of
from tracesieve.evaluation.evaluate import Evaluated
from tracesieve.evaluation.gate import Change
from tracesieve.evaluation.history import STORED
from tracesieve.terminal import plain

_ACTIVE = frozenset("\\`*_{}[]()<>#|~@:!&+-=/\"'$^")
_MOST_LISTED, _MOST_TEXT = 50, 200


def markdown(found: Evaluated) -> str:
    """The document; it ends with a line end."""
    return "\n".join(_lines(found)) + "\n"


def inert(text: str) -> str:
    """A text on one line that Markdown shows as it is."""
    return "".join(f"&#{ord(one)};" if one in _ACTIVE else one for one in plain(text, _MOST_TEXT))


def _lines(found: Evaluated) -> Iterator[str]:
    verdict, now = found.verdict, found.evaluation
    yield f"### {inert(headline(found))}"
    yield ""
    whose = "stored answers" if now.answers == STORED else f"answers of {inert(now.answers)}"
    before = found.before
    against = f"compared with evaluation {before.id}" if before else "nothing to compare with yet"
    yield f"{len(found.loaded.cases):,} records, {whose}, {against}."
    yield ""
    yield "| scorer | pass | fail | error | skipped | worse | passing | bound |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for one in verdict.scorers:
        share = "-" if one.share is None else f"{one.share:.1%}"
        counts = (one.passed, one.failed, one.errors, one.skipped, one.worse)
        cells = (inert(one.name), *map(str, counts), share, bound_text(found, one.name))
        yield f"| {' | '.join(cells)} |"
    if verdict.reasons:
        yield ""
        yield from (f"- {inert(reason)}" for reason in verdict.reasons)
    yield from _changes(found, "Passed before, fails now", verdict.worse)
    yield from _changes(found, "No score", verdict.errors)
    yield from _changes(found, "Failed before, passes now", verdict.fixed)


def _changes(found: Evaluated, title: str, changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        return
    yield ""
    yield f"**{title}**"
    yield ""
    yield "| record | scorer | inputs | why |"
    yield "|---|---|---|---|"
    for one in changes[:_MOST_LISTED]:
        texts = (inert(inputs_of(found, one.record)), inert(one.rationale))
        yield f"| {one.record[:12]} | {inert(one.scorer)} | {' | '.join(texts)} |"
    if len(changes) > _MOST_LISTED:
        yield ""
        yield f"and {len(changes) - _MOST_LISTED:,} more"
