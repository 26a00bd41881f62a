"""Where the time, the tokens and the failures of a trace went, span by span and added up by type and name.

Everything is computed on the flat columns of all spans of a batch at once (:mod:`rules.matcher.batch`), with
integers, so that it comes to the same in any order of spans and any split into batches. What cannot be (a
parent that is not there, spans that are each other's parents, two spans of one id, times that are missing or
absurd) is met here and changes nothing of other traces.
"""

from rules.breakdown.alike import add_alike
from rules.breakdown.columns import AMOUNTS, SUMS, breakdown_columns
from rules.breakdown.entries import MOST_ENTRIES, OTHER, Entries, entries
from rules.breakdown.folding import MOST_PAIRS, fold_totals, folded
from rules.breakdown.longest import WRAPPERS, longest, short_name
from rules.breakdown.observed import OBSERVED, Label, Observations, Observed
from rules.breakdown.spans import Spans, read_spans
from rules.breakdown.stored import restored, stored
from rules.breakdown.totals import Pair, Total, by_type, totals
from rules.breakdown.usage import disagreement, spans_usage

__all__ = [
    "AMOUNTS",
    "MOST_ENTRIES",
    "MOST_PAIRS",
    "OBSERVED",
    "OTHER",
    "SUMS",
    "WRAPPERS",
    "Entries",
    "Label",
    "Observations",
    "Observed",
    "Pair",
    "Spans",
    "Total",
    "add_alike",
    "breakdown_columns",
    "by_type",
    "disagreement",
    "entries",
    "fold_totals",
    "folded",
    "longest",
    "read_spans",
    "restored",
    "short_name",
    "spans_usage",
    "stored",
    "totals",
]
