"""What the tags of a dataset record say of where it comes from, and whether a person has made it theirs."""

from __future__ import annotations

import json
import sys
from typing import Any

from rules.tags import is_search
from sinks.mlflow.dataset_server import ListedRecord, digest
from sinks.mlflow.expectations import theirs
from sinks.mlflow.records import PERSON, RecordSource

SOURCES, RULES, REASON, ADDED_BY = (
    "tracesieve.sources",
    "tracesieve.rules",
    "tracesieve.reason",
    "tracesieve.added_by",
)
DEEPEST = 64
OUTPUT, WITHDRAWN = "tracesieve.output", "tracesieve.withdrawn"
REDACTED = "tracesieve.redacted"  # how many values of each kind
REDACTION = "tracesieve.redaction"  # the fingerprint of what looked for them


def source_of(payload: dict[str, Any], why: dict[str, Any]) -> RecordSource:
    """The trace of a membership message as a source of a record; ``why`` is its entry of one category."""
    rules = [(rule["rule"], rule["hash"]) for rule in why["rules"]]
    if why.get("person"):
        rules.append((PERSON, ""))
    return RecordSource(
        str(payload["trace_id"]), int(payload["end_us"]), tuple(sorted(rules)), str(why.get("reason", ""))
    )


def newest(sources: dict[str, RecordSource]) -> RecordSource:
    """The one that ended last: its output is the record's."""
    return max(sources.values(), key=lambda one: (one.end_us, one.trace_id))


def tags_of(sources: dict[str, RecordSource]) -> dict[str, str]:
    """Every source trace, the rules with their versions, the reason, and who put the record there."""
    rules = {f"{rule}@{version}" for one in sources.values() for rule, version in one.rules if rule != PERSON}
    kinds = {_kind(rule) for one in sources.values() for rule, _ in one.rules}
    return {
        SOURCES: json.dumps(sorted(sources)),
        RULES: ",".join(sorted(rules)),
        REASON: newest(sources).reason,
        ADDED_BY: ",".join(sorted(kinds)),
    }


def _kind(rule: str) -> str:
    """What put a trace there."""
    return "person" if rule == PERSON else "search" if is_search(rule) else "rule"


def withdrawn_tags() -> dict[str, str]:
    """The tags of a record that a person keeps though no trace stands behind it any more."""
    return {SOURCES: "[]", WITHDRAWN: "true"}


def is_ours(tag: str) -> bool:
    """Whether a tag of a record is one of the program or of the server, not a person's."""
    return tag.startswith("tracesieve.") or tag == "mlflow.user"


def edited(record: ListedRecord) -> bool:
    """Whether a person made the record theirs: expectations or tags that are not ours, or another output than
    we wrote.
    """
    return (
        bool(theirs(record))
        or not all(map(is_ours, record.tags))
        or record.tags.get(OUTPUT) != digest(record.outputs)
    )


def parsed(text: str | None) -> Any:
    """The JSON value of a trace's request or response, or the text itself where it is none, or one that could
    be read here and not be written again everywhere: nested too deep, or with a number that no double is.
    """
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if is_storable(value) else text


def is_storable(value: Any) -> bool:
    """Whether a value is nested at most :data:`DEEPEST` deep and has no number but finite doubles."""
    level = [value]
    for _ in range(DEEPEST):
        if any(_is_odd_number(one) for one in level):
            return False
        level = [part for one in level for part in _parts(one)]
        if not level:
            return True
    return False


def _is_odd_number(value: Any) -> bool:
    """Whether it is NaN, infinite or a number too large for a double: JSON as Python has it, no other."""
    return isinstance(value, int | float) and not abs(value) <= sys.float_info.max


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
