"""What an issue of ours says, and how we know later whether a person changed it.

The last line of a description names the status that was written with it and a digest of name and text. So
what we wrote last is read from the issue itself: a crash between a write and its acknowledgement loses
nothing, and neither a status nor a text of a person is taken for ours.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rules.units import SECOND_US, utc
from sinks.mlflow.origin import one_line
from sinks.mlflow.redaction import Door

PENDING, RESOLVED, REJECTED = "pending", "resolved", "rejected"  # all that MLflow has
STATUSES: Final = {"open": PENDING, "resolved": RESOLVED}  # by the status in a message
_MOST_NAME = 200  # characters, of the 250 that MLflow's own table has
_MARK = re.compile(r"\n\n\(tracesieve: (pending|resolved|rejected), ([0-9a-f]{16})\)\s*\Z")


class Wording(NamedTuple):
    """The name and the text of an issue, without the last line."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """Sixteen hex digits."""
        return hashlib.sha256(json.dumps(self).encode()).hexdigest()[:16]

    def description(self, status: str) -> str:
        """The text with its last line, as it is written with that status."""
        return f"{self.text}\n\n(tracesieve: {status}, {self.digest})"


WITHDRAWN: Final = Wording("Withdrawn by tracesieve", "What tracesieve wrote here was taken back.")
DOUBLE: Final = Wording("Written twice by tracesieve", "Another issue of this experiment says the same.")


class Written(NamedTuple):
    """What we wrote last on an issue that is there: ``status``, and whether each is still as we wrote it."""

    status: str
    own_text: bool
    own_status: bool


def written(issue: Any) -> Written:
    """What an issue of ours shows of our last write; a text without our last line is a person's."""
    mark = _MARK.search(issue.description)
    if mark is None:
        return Written("", own_text=False, own_status=False)
    wording = Wording(issue.name, issue.description[: mark.start()])
    return Written(mark[1], wording.digest == mark[2], str(issue.status) == mark[1])


def wording_of(payload: Mapping[str, Any], door: Door) -> Wording:
    """What the issue of a message says, redacted.

    Raises:
        Refused: it cannot be redacted.
    """
    names = ("span_name", "span_type", "error_type", "text")
    texts = door.passed([one_line(str(payload.get(name) or "")) for name in names]).values[0]
    span, kind, error, pattern = (one_line(str(text)) for text in texts)
    what = pattern if pattern.startswith(error) else ": ".join(filter(None, (error, pattern)))
    name = ": ".join(filter(None, (span, what))) or "Failed traces of which no span failed"
    first = f"{span}{f' ({kind})' if kind else ''} fails first" if span else "No span of these traces failed"
    return Wording(_cut(name), "\n\n".join([f"{first}{': ' if what else '.'}{what}", *_counts(payload)]))


def _counts(payload: Mapping[str, Any]) -> list[str]:
    handled = int(payload.get("handled") or 0)
    ended_well = f"; {handled:,} of them ended well all the same" if handled else ""
    lines = [
        f"Traces: {payload['recent']:,} in 24 hours, {payload['traces']:,} that are counted{ended_well}.",
        f"First seen {_time(payload['first_us'])}, last seen {_time(payload['last_us'])}.",
    ]
    if payload["status"] == "resolved":
        lines.append("None since then, while other traces of the experiment came: resolved.")
    elif payload.get("back_us"):
        lines.append(
            f"Back again since {_time(payload['back_us'])}, after none since {_time(payload['silent_us'])}."
        )
    return lines


def _cut(name: str) -> str:
    return name if len(name) <= _MOST_NAME else f"{name[:_MOST_NAME].rstrip()} …"


def _time(at_us: int) -> str:
    return f"{utc(at_us // SECOND_US * SECOND_US):%Y-%m-%d %H:%M:%S} UTC"
