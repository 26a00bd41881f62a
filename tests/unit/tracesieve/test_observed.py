"""What is observed of each kind of span trace by trace: as pandas sums up the same spans."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from benchmarks.made_store import made_facts
from rules.alerting.histogram import bucket_index
from rules.breakdown import Label, Observations
from tracesieve.analysis import added_up as room
from tracesieve.analysis.added_up import unpacked


def histogram(values: pd.Series) -> Counter[int]:
    known = values.dropna().to_numpy().astype(np.int64)
    index, count = np.unique(bucket_index(known), return_counts=True)
    return Counter(dict(zip(index.tolist(), count.tolist(), strict=True)))


@pytest.mark.parametrize("few", [1, 10_000])
def test_a_trace_counts_once_with_what_its_calls_come_to(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same whether many traces are read as a table or each apart."""
    monkeypatch.setattr(room, "_FEW", few)
    facts, frame = made_facts(0, 600, 600)
    found = Observations()
    unpacked(facts, found.add_alike, found.add)
    spans = frame.to_pandas().astype({"span_type": str, "span_name": str})
    expected: set[Label] = set()
    for keys in (["span_type", "span_name"], ["span_type"]):
        for name, part in spans.groupby(keys):
            label = (name[0], name[1] if len(name) > 1 else None)
            expected.add(label)
            of_trace = part.groupby("trace").agg(
                calls=("failed", "size"),
                failed=("failed", "any"),
                us=("duration_us", "sum"),
                tokens=("tokens_total", lambda one: one.sum(min_count=1)),
                cost=("cost_nusd", lambda one: one.sum(min_count=1)),
            )
            one = found.by_label[label]
            assert (one.traces, one.failed) == (len(of_trace), of_trace["failed"].sum())
            assert one.calls == Counter(of_trace["calls"].tolist())
            assert one.histograms["duration_us"] == histogram(of_trace["us"] // of_trace["calls"])
            assert one.histograms["tokens_total"] == histogram(of_trace["tokens"])
            assert one.histograms["cost_nusd"] == histogram(of_trace["cost"])
    assert set(found.by_label) == expected
