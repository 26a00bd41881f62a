"""The sources there are: one file each, one line here."""

from __future__ import annotations

from streams.sources.delta_traces import DeltaTracesSource, SourceError

SourceConfig = DeltaTracesSource

__all__ = ["DeltaTracesSource", "SourceConfig", "SourceError"]
