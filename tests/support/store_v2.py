"""The fixture ``tests/fixtures/store_v2``: a store that version 2 wrote, and that program's answers.

``document_of`` gives the same of a store of this program; see ``make_store_v2.py`` for how it was made.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from rules.units import parse_time_us
from store import Store, net_facts
from store.batches import last_stream
from store.files import SmallFiles
from store.outbox import EVIDENCE_CURSOR, Outbox, messages_cursor
from store.windows import merge
from tracesieve.alerts.listing import list_alerts
from tracesieve.alerts.verdict_log import net_verdicts
from tracesieve.analysis.report import report

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "store_v2"
MINUTE, DAY = 60_000_000, 86_400_000_000
START_US = 1_795_000_000_000_000 // MINUTE * MINUTE
EARLIER_US = START_US - 4 * DAY
BEFORE_US, AFTER_US, UNDONE_US = (START_US + minutes * MINUTE for minutes in (36, 40, 41))
_CACHE = ("tokens_cache_read", "tokens_cache_write")
_NEW = {
    *("categories", "categories_total", "failures", "error_patterns"),
    *("step_s", "by_time", "slow", "slow_patterns", "hot_spots", "spikes"),
}
_OF_SPANS = ("span_keys", "span_sums", "usage_disagrees", "failure")
# Columns that version 2 did not know.
_LATER = (*_OF_SPANS, *_CACHE, *(f"{name}_known" for name in _CACHE))
_LEFT_OUT = ("stream_id", "batch_id", "weight", "written_us", "arrived_us", "late", *_LATER)


def restored(folder: Path) -> Path:
    """The store, the MLflow server's database and the rules in ``folder``; the store's path."""
    with tarfile.open(FIXTURE / "store_v2.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "store"


def answer(name: str) -> Any:
    """What version 2 answered: ``before`` it went on, ``after`` that, and when all was ``undone``."""
    with tarfile.open(FIXTURE / "answers.tar.xz") as archive:
        content = archive.extractfile(f"{name}.json")
        assert content is not None
        return json.loads(content.read())


def document_of(store: Store, at_us: int) -> dict[str, Any]:
    """What today's program says of a store, through JSON as the answers are."""
    facts = net_facts(store.table("facts").read()).sort("trace_id")
    windows = merge(store.table("windows").read()).sort("start_us", "size_us", "rule_hash", "group")
    verdicts = net_verdicts(store.table("verdicts").read())
    verdicts.sort(key=lambda row: (row["instant_us"], row["rule"]))
    messages = store.table("outbox").read(["seq", "key", "sink", "target", "payload"]).sort("seq")
    names = ("key", "sink", "target", "outcome")
    acks = store.table("deliveries").read(["key", "outcome"]).unique().sort("key", "outcome")
    found = {
        "facts": _rows(facts.to_dicts()),
        "windows": _rows(windows.to_dicts()),
        "verdicts": _rows(verdicts),
        "report": _report_of_version_2(store, at_us + DAY),
        "alerts": [
            {name: value for name, value in alert.items() if name not in ("starts", "ends")}
            for alert in list_alerts(store)
        ],
        "waiting": [{name: row[name] for name in names} for row in Outbox(store).rows()],
        "messages": [{**row, "payload": json.loads(row["payload"])} for row in messages.to_dicts()],
        "outcomes": [list(row) for row in acks.iter_rows()],
        "records": _records(store),
    }
    return dict(json.loads(json.dumps(found)))


def report_of(store: Store, at_us: int) -> dict[str, Any]:
    """Today's report over all of the store."""
    return report(store, EARLIER_US - DAY, at_us, [], at_us)


def _report_of_version_2(store: Store, at_us: int) -> dict[str, Any]:
    """The same without what version 2 did not have, which counted no label of a person, and with times in
    seconds.
    """
    found = {name: value for name, value in report_of(store, at_us).items() if name not in _NEW}
    assert all(sample.pop("url") is None for sample in found["error_samples"])
    assert found["candidates"].pop("golden") == 1
    assert found["freshness"].pop("usage_disagrees") == 0  # it did not look at spans
    found["freshness"].pop("backlog")  # nor when its runs began
    for numbers in (found, *found["groups"]):
        assert [numbers["tokens"].pop(name.removeprefix("tokens_")) for name in _CACHE] == [None, None]
    for row, name in ((found, "from"), (found, "to"), (found["freshness"], "final_through")):
        row[name] = row[name] and parse_time_us(row[name]) / 1e6
    return found


def _rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in _LEFT_OUT} for row in rows]


def _records(store: Store) -> list[list[Any]]:
    """Which trace is a source of which record, by dataset."""
    keys = ["dataset", "record", "trace_id"]
    rows = store.table("records").read([*keys, "weight"]).group_by(keys).sum()
    return sorted(list(row[:3]) for row in rows.filter(rows["weight"] > 0).iter_rows())


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@contextmanager
def killed_at(number: int) -> Iterator[list[str]]:
    """The ``number``-th write of the upgrade does not happen, and nothing after it; the writes before it."""
    done: list[str] = []

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if len(done) == number:
                raise Killed
            done.append(name)
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patched:
        for owner, name in (
            (SmallFiles, "write_bytes"),
            (SmallFiles, "clear"),
            (DeltaTable, "create_write_transaction"),
            (DeltaTable, "create"),
        ):
            patched.setattr(owner, name, counted(name, getattr(owner, name)))
        yield done


def contents(store: Store) -> dict[str, Any]:
    """All rows of all tables, and the cursors."""
    stream = last_stream(store)
    rows = {name: sorted(map(repr, table.read().iter_rows())) for name, table in store.tables().items()}
    cursors = {
        (name, app): store.table(name).app_version(app)
        for name, app in [
            ("outbox", messages_cursor(str(stream))),
            ("outbox", EVIDENCE_CURSOR),
            ("windows", "maintenance:coarsen"),
            *((name, f"{name}:{stream}") for name in ("facts", "windows", "batches", "person_labels")),
        ]
    }
    assert None not in cursors.values()
    return {**rows, "cursors": cursors}
