"""``tracesieve.open``: a config and its store, to be read."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from rules.units import MINUTE_US, parse_duration_us
from store import Store, open_store
from store.content import TraceTable
from tracesieve.analysis.experiments import Experiment, chosen, experiments
from tracesieve.analysis.profile import profile
from tracesieve.analysis.report import report
from tracesieve.analysis.search import Search, counted_experiments
from tracesieve.analysis.selection import Selection, standing
from tracesieve.condition import parsed
from tracesieve.config.loading import load_settings
from tracesieve.config.settings import Settings
from tracesieve.config.trace_server import trace_server
from tracesieve.config.trace_table import trace_table
from tracesieve.datasets.listing import listed
from tracesieve.datasets.sets import DatasetSets
from tracesieve.datasets.versions import LATEST, records
from tracesieve.errors import TracesieveError
from tracesieve.notebook.answers import Found, Profile, Report, frame
from tracesieve.notebook.content import SPAN_FIELDS, TRACE_FIELDS, fields_of, spans_frame, traces_frame
from tracesieve.notebook.frames import FACTS, facts_frame, windows_frame
from tracesieve.notebook.ranges import Length, Moment, Range, range_of

_EVERYTHING = "trace_id IS NOT NULL"
Names = str | Sequence[str] | None


class Monitor:
    """What a config watches and its store holds; make it with :func:`tracesieve.open`. It only reads.

    Every method that looks at a range takes ``last`` (``"24h"``, the default, or a ``timedelta``), or
    ``start`` and ``end`` (ISO 8601 or ``datetime``, UTC unless they say so): traces that *ended* in it.
    Most take ``where``, a condition as rules have it, and ``experiment``, names or ids. Frames are those of
    Polars; ``.to_pandas()`` makes those of pandas.

    Raises of all methods:
        TracesieveError: an argument is wrong; the message says all that is.
        StoreError: the store or the trace table cannot be read.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self._store = store

    def __repr__(self) -> str:
        return f"<tracesieve: {self.settings.config_file}, store {self.settings.store_path}>"

    @property
    def experiments(self) -> pl.DataFrame:
        """The experiments of the store and of the config: ``id``, ``name``, ``watched``."""
        rows = [(one.id or None, one.name or None, one.watched) for one in self._experiments()]
        return pl.DataFrame(rows, {"id": pl.String, "name": pl.String, "watched": pl.Boolean}, orient="row")

    def search(
        self,
        condition: str,
        *,
        last: Length = None,
        start: Moment = None,
        end: Moment = None,
        experiment: Names = None,
    ) -> Found:
        """The traces that a condition matches, and where they were looked for."""
        range_, among = range_of(last, start, end), self._chosen(experiment)
        found = self._selected("condition", condition, range_, among)
        rows = [tuple(one.values()) for one in counted_experiments(among, found)]
        schema = {
            "id": pl.String,
            "name": pl.String,
            "watched": pl.Boolean,
            "traces": pl.Int64,
            "matched": pl.Int64,
        }
        return Found(
            self._facts(found, range_),
            pl.DataFrame(rows, schema, orient="row"),
            found.searched,
            found.gone,
            condition,
        )

    def facts(
        self,
        *,
        last: Length = None,
        start: Moment = None,
        end: Moment = None,
        where: str | None = None,
        experiment: Names = None,
    ) -> pl.DataFrame:
        """What is counted of each trace, a row each (:func:`tracesieve.notebook.frames.facts_frame`)."""
        range_ = range_of(last, start, end)
        return self._facts(self._selected("where", where, range_, self._chosen(experiment)), range_)

    def traces(
        self,
        *,
        last: Length = None,
        start: Moment = None,
        end: Moment = None,
        where: str | None = None,
        experiment: Names = None,
        fields: Sequence[str] = TRACE_FIELDS,
        limit: int = 1_000,
    ) -> pl.DataFrame:
        """The content of the newest ``limit`` traces (:func:`tracesieve.notebook.content.traces_frame`).

        ``fields`` are named as in conditions: ``request``, ``user``, ``tags.tier``, ``tokens.total``. Where
        more traces are found than ``limit``, a warning says so; those whose content is gone are left out.
        """
        wanted = fields_of(fields, "trace")
        found = self._selected("where", where, range_of(last, start, end), self._chosen(experiment))
        return traces_frame(self._table(), _newest(found.facts, limit), wanted)

    def spans(
        self,
        *,
        last: Length = None,
        start: Moment = None,
        end: Moment = None,
        where: str | None = None,
        experiment: Names = None,
        fields: Sequence[str] = SPAN_FIELDS,
        limit: int = 1_000,
    ) -> pl.DataFrame:
        """The spans of the newest ``limit`` traces (:func:`tracesieve.notebook.content.spans_frame`).

        ``fields`` are named as inside ``any(span, …)``: ``name``, ``type``, ``inputs``, ``attributes.KEY``.
        """
        wanted = fields_of(fields, "spans")
        found = self._selected("where", where, range_of(last, start, end), self._chosen(experiment))
        return spans_frame(self._table(), _newest(found.facts, limit), wanted)

    def windows(
        self, *, last: Length = None, start: Moment = None, end: Moment = None, every: str = "1h"
    ) -> pl.DataFrame:
        """Numbers over time by group (:func:`tracesieve.notebook.frames.windows_frame`); ``every`` is a
        multiple of a minute.
        """
        try:
            every_us = parse_duration_us(every)
        except ValueError as error:
            raise TracesieveError(f"every={every!r}: write a duration such as 5m or 1h") from error
        if every_us < MINUTE_US or every_us % MINUTE_US:
            raise TracesieveError(f"every={every!r}: windows are whole minutes")
        range_ = range_of(last, start, end)
        return windows_frame(self._store, range_.from_us, range_.until_us, every_us, self.settings.group_by)

    def patterns(
        self, *, last: Length = None, start: Moment = None, end: Moment = None, where: str | None = None
    ) -> pl.DataFrame:
        """Error patterns of the range, the most frequent first, with when each was seen first and last."""
        return self.report(last=last, start=start, end=end, where=where).patterns

    def datasets(self) -> pl.DataFrame:
        """The datasets and their latest versions, as ``datasets list`` has them."""
        return frame(listed(self._store))

    def dataset(self, name: str, version: str = LATEST) -> pl.DataFrame:
        """The records of a version of a dataset: ``inputs``, ``outputs``, ``expectations`` and ``tags`` as
        JSON, and ``sources`` (trace ids).
        """
        from tracesieve.datasets.record import canonical

        rows = [
            {
                "record": one.key,
                "inputs": canonical(one.inputs),
                "outputs": canonical(one.outputs),
                "expectations": canonical(dict(one.expectations)),
                "tags": canonical(dict(one.tags)),
                "sources": list(one.sources),
            }
            for one in records(self._store, name, version)
        ]
        texts = ("record", "inputs", "outputs", "expectations", "tags")
        kinds: dict[str, Any] = {**dict.fromkeys(texts, pl.String), "sources": pl.List(pl.String)}
        return pl.DataFrame(rows, kinds)

    def report(
        self,
        *,
        last: Length = None,
        start: Moment = None,
        end: Moment = None,
        where: str | None = None,
        experiment: Names = None,
        by: Names = None,
    ) -> Report:
        """The numbers of the range over time and by the keys ``by`` of ``group_by`` (all of them if none is
        given), error patterns, spikes, candidates, datasets: what ``report --json`` prints.
        """
        range_, table = range_of(last, start, end), self._table()
        everything = where is None and experiment is None
        only = None if everything else self._selected("where", where, range_, self._chosen(experiment))
        document = report(
            self._store,
            range_.from_us,
            range_.to_us,
            self._keys(by),
            range_.now_us,
            table,
            DatasetSets.of(self.settings),
            only=only,
            server=trace_server(self.settings),
        )
        return Report(document)

    def profile(
        self,
        *,
        last: Length = None,
        start: Moment = None,
        end: Moment = None,
        where: str | None = None,
        group: Mapping[str, str] | None = None,
        rule: str | None = None,
        by: Names = None,
    ) -> Profile:
        """Where the time, the tokens and the failures went, by span type and name: what ``profile --json``
        prints. Of a ``group`` (values by key), and of the traces that ``rule`` matches or that are evidence
        of it; by the keys ``by`` too.
        """
        range_ = range_of(last, start, end)
        self._keys(list(group or ()))
        document = profile(
            self._store,
            range_.from_us,
            range_.to_us,
            range_.now_us,
            group=group,
            rule=rule,
            where=where,
            table=self._table(),
            by=self._keys(by),
        )
        return Profile(document)

    def _keys(self, wanted: Names) -> list[str]:
        keys = [wanted] if isinstance(wanted, str) else list(wanted or ())
        if unknown := [key for key in keys if key not in self.settings.group_by]:
            known = ", ".join(self.settings.group_by)
            raise TracesieveError(f"{', '.join(unknown)}: no key of group_by ({known})")
        return keys

    def _table(self) -> TraceTable:
        return trace_table(self.settings)

    def _experiments(self) -> list[Experiment]:
        return experiments(self._store, self.settings.source.watched)

    def _chosen(self, wanted: Names) -> list[Experiment]:
        there = self._experiments()
        return (
            there
            if wanted is None
            else chosen(there, [wanted] if isinstance(wanted, str) else wanted, "experiment")
        )

    def _selected(
        self, argument: str, text: str | None, range_: Range, among: Sequence[Experiment]
    ) -> Selection:
        condition = parsed(argument, _EVERYTHING if text is None else text)
        search = Search(condition, among, range_.from_us, range_.to_us)
        found = search.selected(self._store, self._table(), range_.now_us)
        if found.gone and argument == "where":
            gone = f"of {found.gone:,} traces the content is gone, so it is not known whether they match"
            warnings.warn(f"where={text!r}: {gone}", stacklevel=3)
        return found

    def _facts(self, found: Selection, range_: Range) -> pl.DataFrame:
        facts = standing(self._store, range_.from_us, range_.to_us, range_.now_us, FACTS)
        return facts_frame(found.of(facts), self.settings.group_by)


def open_monitor(path: str | Path = "tracesieve.yaml") -> Monitor:
    """The monitor of a config file; see :func:`tracesieve.open`."""
    settings = load_settings(path)
    return Monitor(settings, open_store(settings.store_path, create=False))


def _newest(facts: pl.DataFrame, limit: int) -> pl.DataFrame:
    if limit < 1:
        raise TracesieveError(f"limit={limit}: at least 1")
    if facts.height > limit:
        text = f"{facts.height:,} traces match; the newest {limit:,} are given (limit)"
        warnings.warn(text, stacklevel=3)
    return facts.sort("end_us", "trace_id", descending=[True, False]).head(limit)
