"""What a sink shows to people of the other side: what stands there because of us, and what is muted there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Holding:
    """One thing that stands at the other side because of a trace: a tag or an assessment with its ``value``,
    or a record in ``place``, whose id is ``place_id``, or an issue of the experiment ``place_id``; several
    traces may stand behind one record or issue.
    """

    kind: Literal["tag", "assessment", "record", "issue"]
    trace_id: str
    name: str
    value: str = ""
    place: str = ""
    place_id: str = ""

    @property
    def thing(self) -> tuple[str, ...]:
        """The same for all traces that stand behind one thing."""
        return (self.place_id if self.kind in ("record", "issue") else self.trace_id, self.name)


@dataclass(frozen=True)
class Mute:
    """A time in which one place pages nobody for a rule, or for one group of it (values by label).

    ``key`` is its name at that place, ``ours`` whether :meth:`Sink.mute` made it.
    """

    place: str
    key: str
    rule: str
    group: Mapping[str, str]
    from_us: int
    until_us: int
    by: str
    comment: str
    ours: bool
