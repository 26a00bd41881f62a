"""What ``tracesieve init`` does for a Delta table of traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.sources.offer import InitOffer, InitOption, Survey


class DeltaTracesOffer(InitOffer):
    """Writes a config for a table, also for one that lacks columns."""

    noun = "a Delta table"
    place = InitOption("--table", "a Delta table of traces")

    def survey(self, place: str, more: Mapping[str, Sequence[str]], config_dir: Path) -> Survey:
        """The columns that a trace has, each with the table's.

        Raises:
            SourceError: it is not a Delta table.
        """
        from streams.sources.delta_traces.survey import survey

        return survey(place, config_dir)
