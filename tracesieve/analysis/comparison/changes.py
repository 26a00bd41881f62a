"""What changed from one side to the other, a row for each kind of span and thing that is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rules.alerting.histogram import bucket_value_us, quantile_us
from rules.breakdown import Label, Observed
from tracesieve.analysis.comparison import certainty

SURELY, PROBABLY, NOT_KNOWN = "surely", "probably", "not known"
SURE_AT, PROBABLE_AT = 0.01, 0.05
# Smaller changes are never listed, however sure: of a ratio, and of a share of traces.
ENOUGH_RATIO, ENOUGH_SHARE = 0.05, 0.002
WORDS: Final = {  # more, and less, of what is compared
    "duration_p50": ("slower", "faster"),
    "duration_p95": ("slower P95", "faster P95"),
    "failing": ("fails more", "fails less"),
    "tokens": ("more tokens", "fewer tokens"),
    "cost": ("dearer", "cheaper"),
    "calls": ("more calls", "fewer calls"),
}
NEW, GONE = "new", "gone"  # of calls, where one side has none
MOST_KINDS = 200  # that are compared, those with the most traces: each test makes all others less sure
WHOLE: Final[Label] = ("", None)  # the trace itself
_TAIL = 0.95


@dataclass(frozen=True)
class Side:
    """One side: how many traces, and what was observed of them."""

    traces: int
    by_label: Mapping[Label, Observed]


def changes(before: Side, after: Side) -> list[dict[str, Any]]:
    """A row for each test, of at most :data:`MOST_KINDS` kinds of span.

    A row has ``what``, ``scope`` (``trace``, ``span_type``, ``span_name``), ``span_type``, ``span_name``,
    ``traces_before`` and ``traces_after``, ``before``, ``after``, ``change`` (of shares the difference, else
    the ratio less 1), ``interval`` of the change, ``p``, ``p_holm``, ``p_false_discovery``, ``certainty``,
    ``words`` and ``listed``. ``surely``: Holm's p is at most :data:`SURE_AT`; ``probably``: Benjamini and
    Hochberg's at most :data:`PROBABLE_AT`. Those that are listed come first, the surest before others.
    """
    rows = [row for label in _compared(before, after) for row in _of_label(label, before, after)]
    p = [row["p"] for row in rows]
    for row, strict, loose in zip(rows, certainty.holm(p), certainty.false_discovery(p), strict=True):
        row |= {"p_holm": strict, "p_false_discovery": loose}
        row["certainty"] = SURELY if strict <= SURE_AT else PROBABLY if loose <= PROBABLE_AT else NOT_KNOWN
        row["listed"] = row["certainty"] != NOT_KNOWN and _is_enough(row)
    certain = [SURELY, PROBABLY, NOT_KNOWN]
    return sorted(
        rows,
        key=lambda row: (not row["listed"], certain.index(row["certainty"]), _SCOPES.index(row["scope"])),
    )


_SCOPES = ["trace", "span_type", "span_name"]


def _compared(before: Side, after: Side) -> list[Label]:
    traces: Counter[Label] = Counter()
    for side in (before, after):
        traces.update({label: one.traces for label, one in side.by_label.items()})
    names = Counter(kind for kind, name in traces if name is not None)
    labels = [
        label
        for label, number in traces.items()
        # A type of one name would be tested twice.
        if number >= certainty.FEWEST and (label == WHOLE or label[1] is not None or names[label[0]] > 1)
    ]
    labels.sort(key=lambda label: (-traces[label], label[0], label[1] or ""))
    return labels[:MOST_KINDS]


def _is_enough(row: dict[str, Any]) -> bool:
    if row["change"] is None:
        return bool(row["what"] == "calls")
    enough = ENOUGH_SHARE if row["what"] == "failing" else ENOUGH_RATIO
    return bool(abs(row["change"]) >= enough)


def _of_label(label: Label, before: Side, after: Side) -> Iterator[dict[str, Any]]:
    one, other = (side.by_label.get(label, Observed()) for side in (before, after))
    scope = "trace" if label == WHOLE else "span_type" if label[1] is None else "span_name"
    named = {"scope": scope, "span_type": label[0] or None, "span_name": label[1]}
    counts = {"traces_before": one.traces, "traces_after": other.traces}
    for what, found in _tested(one, other, (before.traces, after.traces), scope):
        words = WORDS[what][0 if found["after"] >= found["before"] else 1]
        if what == "calls" and not found["before"] * found["after"]:
            words = GONE if found["before"] else NEW
        yield {"what": what, **named, **counts, **found, "words": words}


def _tested(
    one: Observed, other: Observed, traces: tuple[int, int], scope: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    if min(one.traces, other.traces) >= certainty.FEWEST:
        yield "failing", _shares((one.failed, other.failed), (one.traces, other.traces))
    durations = one.histograms["duration_us"], other.histograms["duration_us"]
    if (test := certainty.histograms_differ(*durations)) is not None:
        yield "duration_p50", {**_quantiles(*durations, 0.5, 1000), "p": test[0]}
        yield "duration_p95", {**_quantiles(*durations, _TAIL, 1000), "p": _tails_differ(*durations)}
    for what, name, unit in (("tokens", "tokens_total", 1), ("cost", "cost_nusd", 10**9)):
        amounts = one.histograms[name], other.histograms[name]
        if (test := certainty.histograms_differ(*amounts)) is not None:
            yield what, {**_quantiles(*amounts, 0.5, unit), "p": test[0]}
    if scope != "trace":
        calls = [_with_none(part.calls, whole) for part, whole in zip((one, other), traces, strict=True)]
        if (test := certainty.histograms_differ(*calls)) is not None:
            yield "calls", {**_means(*calls), "p": test[0]}


def _with_none(calls: Counter[int], traces: int) -> dict[int, int]:
    """The counts of calls, with the traces that make none."""
    return {**calls, 0: traces - sum(calls.values())}


def _shares(hits: tuple[int, int], of: tuple[int, int]) -> dict[str, Any]:
    before, after = (one / number for one, number in zip(hits, of, strict=True))
    return {
        "before": before,
        "after": after,
        "change": after - before,
        "interval": certainty.difference_interval(hits, of),
        "p": certainty.shares_differ(hits, of),
    }


def _means(before: Mapping[int, int], after: Mapping[int, int]) -> dict[str, Any]:
    one, other = (
        sum(value * count for value, count in side.items()) / sum(side.values()) for side in (before, after)
    )
    return {"before": one, "after": other, "change": other / one - 1 if one else None, "interval": None}


def _quantiles(before: Mapping[int, int], after: Mapping[int, int], q: float, unit: int) -> dict[str, Any]:
    (one, x), (other, y) = (_quantile(side, q) for side in (before, after))
    ratio = None if x is None or y is None else certainty.ratio_interval((one, x), (other, y))
    return {
        "before": one / unit,
        "after": other / unit,
        "change": other / one - 1 if one else None,
        "interval": None if ratio is None else (ratio[0] - 1, ratio[1] - 1),
    }


def _quantile(counts: Mapping[int, int], q: float) -> tuple[float, certainty.Interval | None]:
    value, number = quantile_us(counts, q) or 0.0, sum(counts.values())
    ranks = certainty.quantile_ranks(number, q)
    return value, None if ranks is None else (_ranked(counts, ranks[0]), _ranked(counts, ranks[1]))


def _ranked(counts: Mapping[int, int], rank: int) -> float:
    seen = 0
    for index in sorted(counts):
        seen += counts[index]
        if seen >= rank:
            break
    return bucket_value_us(index)


def _tails_differ(before: Mapping[int, int], after: Mapping[int, int]) -> float:
    """Whether as many values of one side as of the other lie above the 95% quantile of both together."""
    both = Counter(before)
    both.update(after)
    rank, seen, bound = _TAIL * sum(both.values()), 0, 0
    for index in sorted(both):
        seen += both[index]
        if seen >= rank:
            bound = index
            break
    above = [sum(count for index, count in side.items() if index > bound) for side in (before, after)]
    return certainty.shares_differ((above[0], above[1]), (sum(before.values()), sum(after.values())))
