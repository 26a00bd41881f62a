"""Redaction: personal data and credentials in JSON values are replaced by tokens such as ``[EMAIL_1]``, the
same value by the same token within a record.

Pure: no clock, no network, no table. A text of any size costs time in proportion to it.
"""

from rules.redaction.found import Found, FoundBy
from rules.redaction.own import pattern_error
from rules.redaction.plugin import Plugin
from rules.redaction.redactor import DETECTORS, Redacted, Redactor

__all__ = [
    "DETECTORS",
    "Found",
    "FoundBy",
    "Plugin",
    "Redacted",
    "Redactor",
    "pattern_error",
]
