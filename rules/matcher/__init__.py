"""The one matcher: live, backfill, dry run, ``explain`` and rule tests evaluate conditions with the code in
here.
"""

from rules.matcher.columns import raw_table
from rules.matcher.derived import derive, derived_columns
from rules.matcher.evaluate import Evaluation
from rules.matcher.explain import explain, explained_columns
from rules.matcher.match import Matcher
from rules.matcher.measures import evaluate_measure, measured
from rules.matcher.sound import sound

__all__ = [
    "Evaluation",
    "Matcher",
    "derive",
    "derived_columns",
    "evaluate_measure",
    "explain",
    "explained_columns",
    "measured",
    "raw_table",
    "sound",
]
