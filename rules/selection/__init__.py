"""Which candidates of a dataset are its members: quotas, strata, near-duplicates, and how much of the
failures of a time the members cover. Pure: the same set of candidates has the same members, in whatever
order, pieces or repeats it came.
"""

from rules.selection.candidate import REASONS, Candidate, Quotas, Selection, duration_stratum
from rules.selection.choice import Chooser, select
from rules.selection.coverage import Coverage, coverage, missing
from rules.selection.inputs import Features, features
from rules.selection.near import NEAR_DUPLICATE

__all__ = [
    "NEAR_DUPLICATE",
    "REASONS",
    "Candidate",
    "Chooser",
    "Coverage",
    "Features",
    "Quotas",
    "Selection",
    "coverage",
    "duration_stratum",
    "features",
    "missing",
    "select",
]
