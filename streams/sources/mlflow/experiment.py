"""How far the landing of one experiment has come."""

from __future__ import annotations

from dataclasses import dataclass, field

from store.final_through import Watermark
from streams.errors import SourceDown
from streams.sources.mlflow.backlog import Backlog


@dataclass
class Experiment:
    """One experiment; times in µs."""

    id: str
    name: str
    high_us: int  # slices cover all ends up to here
    backlog: Backlog
    relisted_us: int = 0
    reconciled_us: int = 0
    counted_us: int = 0  # when counts were last compared
    compared_us: int = 0  # and up to which end
    slice_written_us: int = 0
    watermark: Watermark | None = None
    watermark_written_us: int = 0
    in_progress: int = 0
    countable: bool = True
    deleted: bool = False
    named_us: int = 0  # when its name was last asked for
    failure: SourceDown | None = None  # why it could not be read; the next try is due at retry_us
    wait_us: int = 0
    retry_us: int = 0
    # By (start, size) of a piece: the numbers there and here that a listing found in order.
    explained: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)


@dataclass
class LandingStep:
    """What one pass did, in traces."""

    landed: int = 0
    skipped: int = 0
    missed: int = 0  # found only by a comparison with the server's counts
    amended: int = 0  # landed again because they had changed
    gone: int = 0  # deleted while being listed
    in_progress: int = 0
    backlog_us: int = 0  # time still to be landed before the first live slice
