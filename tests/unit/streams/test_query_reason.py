"""What a person sees when the streaming query fails: the one line that says why, whatever Spark wraps around
it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.delta_cases import NOW_US, rule_set

from store import StoreUnwritable, open_store
from store.query_ends import FAILED, RULES_CHANGED, QueryEnds
from store.rule_sets import RuleSets
from streams.batch.config import BatchConfig
from streams.batch.process import BatchWorker, process_batch
from streams.errors import RuleSetChanged
from streams.spark_errors import line_of

WRAPPED = """[STREAM_FAILED] Query [id = 5f, runId = 7a] terminated with exception: \
An exception was raised by the Python Proxy. \
Return Message: Traceback (most recent call last):
  File "streams/batch/process.py", line 80, in process_batch
    store.table("batches").append([row])
OSError: Unable to copy data to file: No space left on device (os error 28)

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "pyspark/sql/utils.py", line 120, in call
store.errors.StoreUnwritable: /data/st/facts cannot be written: No space left on device (os error 28)
 SQLSTATE: XXKST"""


def ended_by(tmp_path: Path, error: Exception) -> BatchWorker:
    """A worker whose batch 4 ends with ``error``, in a store with rules."""

    def fail(_frame: Any) -> Any:
        raise error

    RuleSets(open_store(str(tmp_path))).put(rule_set(), (), 1)
    config = BatchConfig(str(tmp_path), "s", str(tmp_path / "checkpoint"), query_id="q")
    worker = BatchWorker(config, lambda: NOW_US, fail)
    with pytest.raises(type(error)):
        process_batch(None, 4, worker)  # type: ignore[arg-type]
    return worker


def test_our_own_error_crosses_spark_as_a_typed_row(tmp_path: Path) -> None:
    message = "/data/st/facts cannot be written: No space left on device (os error 28)"
    worker = ended_by(tmp_path, StoreUnwritable(message))
    end = QueryEnds(open_store(str(tmp_path))).of("q")
    assert end is not None
    assert end == worker.end
    assert (end.reason, end.error, end.exit_code, end.message) == (FAILED, "StoreUnwritable", 3, message)
    assert (end.stream_id, end.batch_id, end.at_us) == ("s", 4, NOW_US)
    assert QueryEnds(open_store(str(tmp_path))).of("another start") is None


def test_that_the_rules_have_changed_is_a_row_of_its_own_kind(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    RuleSets(store).put(rule_set(), (), 1)
    config = BatchConfig(str(tmp_path), "s", "", rule_set_hash="another", query_id="q")
    with pytest.raises(RuleSetChanged):
        process_batch(None, 0, BatchWorker(config, lambda: NOW_US))  # type: ignore[arg-type]
    end = QueryEnds(store).of("q")
    assert end is not None
    assert end.reason == RULES_CHANGED
    assert store.table("facts").version() == -1


def test_an_error_that_is_none_of_ours_is_a_bug_in_one_line(tmp_path: Path) -> None:
    end = ended_by(tmp_path, KeyError("x\ny")).end
    assert end is not None
    assert (end.error, end.exit_code, "\n" in end.message) == ("KeyError", 70, False)


def test_delta_s_own_error_inside_a_batch_is_its_line(tmp_path: Path) -> None:
    gone = RuntimeError("Py4J: [FAILED_READ_FILE.FILE_NOT_EXIST] Encountered error while reading file\nat x")
    end = ended_by(tmp_path, gone).end
    assert end is not None
    assert "vacuumed away" in end.message


def test_a_store_that_cannot_be_written_keeps_the_reason_in_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise StoreUnwritable("no space")

    monkeypatch.setattr(QueryEnds, "put", full)
    end = ended_by(tmp_path, StoreUnwritable("facts cannot be written")).end
    assert end is not None
    assert end.message == "facts cannot be written"
    assert open_store(str(tmp_path)).table("query_ends").version() == -1


def test_a_full_disk_under_the_checkpoint_and_any_other_error_are_one_line() -> None:
    assert line_of("java.io.IOException: No space left on device\n\tat x") == "No space left on device"
    assert line_of(WRAPPED) == "No space left on device"
    assert line_of("[DELTA_SOMETHING] a table went away.\nat x") == "[DELTA_SOMETHING] a table went away."
    assert line_of("") == "no reason was given"
