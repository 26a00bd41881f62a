"""Reading an MLflow server: listings that miss nothing, counts by the hour, spans in parallel.

A page token of ``search_traces`` is an offset, so that whatever appears or disappears while paging shifts the
rest. Hence a range of time that overflows one page is halved until each part fits; a single millisecond that
still overflows is paged through again until two reads agree.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from json import JSONDecodeError
from typing import Any, TypeVar

from rules.units import HOUR_US
from streams.errors import NoAccess, SourceDown, SourceRefuses
from streams.sources.mlflow.configured import OnServer
from streams.sources.mlflow.failures import UNREADABLE, source_down, unreadable

_LOG = logging.getLogger(__name__)
_BATCH = 10  # traces in one batchGet call, the most a server takes
_READS = 8
_STORED = ("TRACKING_STORE", "ARCHIVE_REPO")
_T = TypeVar("_T")


class MlflowReader:
    """A server, read only; every failure of it is a :class:`streams.errors.SourceDown`.

    ``page`` is the traces in one listing call, at most the 500 that a server allows.  How long a call
    waits is said by the process (``tracesieve/patience.py``).
    """

    def __init__(self, tracking_uri: str, *, page: int = 500, threads: int = 4) -> None:
        self.uri = tracking_uri
        self._page = page
        self._threads = threads
        self._store: Any = None

    def _call(self, call: Callable[[Any], _T]) -> _T:
        from google.protobuf.json_format import Error as ParseError  # type: ignore[import-untyped]
        from google.protobuf.message import Error as ProtobufError  # type: ignore[import-untyped]
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException

        try:
            if self._store is None:
                from mlflow.tracing.client import TracingClient

                self._store = TracingClient(self.uri)
            return call(self._store)
        except (MlflowException, RequestException, OSError, JSONDecodeError, NotImplementedError) as error:
            raise source_down(self.uri, error) from error
        except (*UNREADABLE, ProtobufError, ParseError) as error:
            raise unreadable(self.uri, error) from error

    def experiments(self) -> list[OnServer]:
        """All experiments, those that were deleted too."""
        from mlflow import MlflowClient
        from mlflow.entities import ViewType

        client = self._call(lambda _: MlflowClient(self.uri))
        there: list[OnServer] = []
        token: str | None = None
        while True:
            found = self._call(
                lambda _, t=token: client.search_experiments(  # type: ignore[misc]
                    view_type=ViewType.ALL, max_results=1000, page_token=t
                )
            )
            there += [
                OnServer(one.experiment_id, one.name, one.lifecycle_stage == "deleted") for one in found
            ]
            token = found.token
            if not token:
                return there

    def latest_experiments(self, most: int) -> dict[str, str]:
        """Name by id of the experiments that were changed last, latest first."""
        from mlflow import MlflowClient

        found = self._call(
            lambda _: MlflowClient(self.uri).search_experiments(
                max_results=most, order_by=["last_update_time DESC"]
            )
        )
        return {one.experiment_id: one.name for one in found}

    def earliest_us(self, experiment: str) -> int | None:
        """The start of the experiment's first trace, µs."""
        infos, _ = self._search(experiment, None, 1, None, ["timestamp_ms ASC"])
        return infos[0].request_time * 1000 if infos else None

    def listed(
        self, experiment: str, after_us: int, through_us: int, *, by: str = "end_time_ms"
    ) -> Iterator[list[Any]]:
        """Trace infos with ``after < end (or timestamp_ms) <= through``, in lists, ascending by time, without
        spans.
        """
        todo = [(after_us // 1000, through_us // 1000)]
        while todo:
            low, high = todo.pop()
            if high <= low:
                continue
            query = f"trace.{by} > {low} AND trace.{by} <= {high}"
            infos, token = self._search(experiment, query, self._page, None)
            if not token:
                yield infos
            elif high - low > 1:
                middle = (low + high) // 2
                todo += [(middle, high), (low, middle)]
            else:
                yield self._paged(experiment, query)

    def _paged(self, experiment: str, query: str) -> list[Any]:
        """All of a range that no split makes smaller: read until two reads agree, and all that any read
        saw.
        """
        seen: dict[str, Any] = {}
        before: set[str] | None = None
        for _ in range(_READS):
            now: dict[str, Any] = {}
            token: str | None = None
            while True:
                infos, token = self._search(experiment, query, self._page, token)
                now.update({info.trace_id: info for info in infos})
                if not token:
                    break
            seen.update(now)
            if before == now.keys():
                break
            before = set(now)
        return list(seen.values())

    def _search(
        self, experiment: str, query: str | None, most: int, token: str | None, order: list[str] | None = None
    ) -> tuple[list[Any], str | None]:
        infos, after = self._call(
            lambda client: client.store.search_traces(
                locations=[experiment],
                filter_string=query,
                max_results=most,
                page_token=token,
                order_by=order,
            )
        )
        return list(infos), after or None

    def infos(self, ids: Sequence[str]) -> list[Any]:
        """Those of some traces, without spans, that the server has, in any experiment."""
        found: list[Any] = self._call(lambda client: client.store.batch_get_trace_infos(list(ids)))
        return found

    def beginning_with(self, experiments: Sequence[str], text: str, most: int = 11) -> list[Any]:
        """At most ``most`` traces of those experiments whose ids begin with ``text``, which needs no
        quoting.
        """
        query = f"trace.request_id LIKE '{text}%'"
        found = [info for one in experiments for info in self._search(one, query, most, None)[0]]
        return [info for info in found if info.trace_id.startswith(text)]  # `_` is any character

    def current_name(self, experiment: str) -> str | None:
        """The experiment's present name; None once it was deleted."""
        from mlflow import MlflowClient

        try:
            found = self._call(lambda _: MlflowClient(self.uri).get_experiment(experiment))
        except SourceRefuses:
            return None
        return str(found.name) if found.lifecycle_stage == "active" else None

    def counts(
        self, experiment: str, from_us: int, to_us: int, size_us: int = HOUR_US
    ) -> dict[tuple[int, str], int] | None:
        """The server's number of traces by (start, cut to ``size_us``, µs; state); None where it has no such
        call.
        """
        from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType

        found: dict[tuple[int, str], int] = {}
        token: str | None = None
        while True:
            try:
                points = self._call(
                    lambda client, t=token: client.store.query_trace_metrics(  # type: ignore[misc]
                        experiment_ids=[experiment],
                        view_type=MetricViewType.TRACES,
                        metric_name="trace_count",
                        aggregations=[MetricAggregation(AggregationType.COUNT)],
                        dimensions=["trace_status"],
                        time_interval_seconds=size_us // 1_000_000,
                        start_time_ms=from_us // 1000,
                        end_time_ms=to_us // 1000,
                        page_token=t,
                    )
                )
            except SourceRefuses:
                return None  # an older server
            for point in points:
                hour = datetime.fromisoformat(point.dimensions["time_bucket"]).astimezone(UTC)
                key = (int(hour.timestamp()) * 1_000_000, point.dimensions.get("trace_status", ""))
                found[key] = found.get(key, 0) + int(point.values["COUNT"])
            token = points.token
            if not token:
                return found

    def count(self, experiment: str) -> int:
        """The server's number of traces in an experiment, of any state and time.

        Raises:
            SourceRefuses: it has no such call.
        """
        from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType

        points = self._call(
            lambda client: client.store.query_trace_metrics(
                experiment_ids=[experiment],
                view_type=MetricViewType.TRACES,
                metric_name="trace_count",
                aggregations=[MetricAggregation(AggregationType.COUNT)],
            )
        )
        return sum(int(point.values["COUNT"]) for point in points)

    def fetch(self, infos: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The traces with spans; and the infos of those that are there but whose spans are not (yet).

        What was deleted meanwhile is in neither.
        """
        stored = [one.trace_id for one in infos if one.tags.get("mlflow.trace.spansLocation") in _STORED]
        known = set(stored)
        other = [one for one in infos if one.trace_id not in known]
        traces: list[Any] = []
        with ThreadPoolExecutor(self._threads, thread_name_prefix="landing") as pool:
            groups = [stored[i : i + _BATCH] for i in range(0, len(stored), _BATCH)]
            for found in pool.map(self._whole, groups):
                traces += found
            traces += [one for one in pool.map(self._from_artifacts, other) if one is not None]
        have = {one.info.trace_id for one in traces}
        missing = [one.trace_id for one in infos if one.trace_id not in have]
        there: list[Any] = []
        for i in range(0, len(missing), 100):
            there += self._call(lambda c, ids=missing[i : i + 100]: c.store.batch_get_trace_infos(ids))  # type: ignore[misc]
        return traces, there

    def _whole(self, ids: Sequence[str]) -> list[Any]:
        """Those of the traces that can be had with their spans; one that cannot be read takes no other with
        it.
        """
        try:
            found: list[Any] = self._call(lambda client: client.store.batch_get_traces(ids))
            return found
        except NoAccess:
            raise
        except SourceDown as error:
            self._call(
                lambda client: client.store.batch_get_trace_infos(ids[:1])
            )  # raises if the server is down
            if len(ids) == 1:
                _LOG.warning("trace %s lands without its spans: %s", ids[0], error)
                return []
            return [trace for one in ids for trace in self._whole([one])]

    def _from_artifacts(self, info: Any) -> Any | None:
        """A trace whose spans lie outside the tracking store, one by one; None if they are not readable."""
        try:
            return self._call(lambda client: client.get_trace(info.trace_id))
        except SourceDown:
            return None
