"""The failure of a trace and its pattern: which span failed first and with what message, the message with
what differs from trace to trace masked, and the merging of patterns that are alike.
"""

from rules.failures.clustering import merged_patterns
from rules.failures.failure import FAILURE_KEYS, failure_columns, failures
from rules.failures.masking import MESSAGE_LENGTH, fingerprint, masked

__all__ = [
    "FAILURE_KEYS",
    "MESSAGE_LENGTH",
    "failure_columns",
    "failures",
    "fingerprint",
    "masked",
    "merged_patterns",
]
