"""Any filter string of MLflow's ``search_traces`` selects the same traces as a rule's condition.

The filters are made from the whole grammar that the server takes, and put to a real one; the traces come to
the matcher by the landing that production uses.  ``EXCEPTIONS`` lists where a rule means something else on
purpose; docs/rules.md says the same to users, and each has its own case below.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from mlflow import MlflowClient
from support import mlflow_filters, varied_traces
from support.servers import MlflowServer

from rules.dialect import compile_condition
from rules.errors import ConditionError
from rules.matcher import Matcher, raw_table
from store import open_store
from streams.sources.mlflow.landing import MlflowLanding
from streams.sources.mlflow.source import MlflowSource

pytestmark = pytest.mark.e2e


@dataclass
class Both:
    """One set of traces, twice: on the server, and landed."""

    client: Any
    experiment: str
    landed: pa.Table

    def mlflow(self, text: str) -> set[str]:
        found, token = set(), None
        while True:
            page = self.client.search_traces(
                locations=[self.experiment],
                filter_string=text,
                include_spans=False,
                max_results=500,
                page_token=token,
            )
            found |= {trace.info.trace_id for trace in page}
            if not (token := page.token):
                return found

    def rules(self, text: str) -> set[str]:
        try:
            condition = compile_condition(text)
        except ConditionError as error:
            assert {finding.code for finding in error.diagnostics} == {"never-true"}, f"{text}: {error}"
            return set()
        matched = Matcher([condition]).match(raw_table(self.landed, condition.columns))[0]
        return set(self.landed["trace_id"].filter(pa.array(matched)).to_pylist())


@pytest.fixture(scope="module")
def both(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Both:
    client = MlflowClient(mlflow_server.uri)
    experiment = client.create_experiment("filters")
    varied_traces.log_traces(mlflow_server, experiment)
    store = open_store(str(tmp_path_factory.mktemp("filters")))
    source = MlflowSource.model_validate(
        {"kind": "mlflow", "tracking_uri": mlflow_server.uri, "experiments": ["filters"]}
    )
    assert MlflowLanding(source, store).land_through(time.time_ns() // 1000).landed == 60
    return Both(client, experiment, store.table("traces").delta().to_pyarrow_table())


def test_every_mlflow_filter_selects_the_same_traces(both: Both) -> None:
    ids = sorted(both.landed["trace_id"].to_pylist())[:5]
    sizes = []

    # Not shrunk: every attempt is a call to the server, and a filter is readable as it is.
    @settings(
        max_examples=300, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(mlflow_filters.filters(ids))
    def check(text: str) -> None:
        found = both.mlflow(text)
        sizes.append(len(found))
        assert both.rules(text) == found, text

    check()
    assert sum(0 < size < 60 for size in sizes) > 75, (
        "most filters should select some traces and leave some out"
    )


EXCEPTIONS = [
    (
        "one attribute of a span, not whatever follows its name in the span's JSON",
        "span.attributes.colour = 'teal'",
    ),
    ("what spans took in and gave out, not their raw JSON", "span.content LIKE '%crimson%'"),
    ("a doubled quote is one quote, as in SQL", "span.name = 'it''s a tool'"),
    ("a backslash takes a wildcard's meaning, as on PostgreSQL and MySQL", r"tags.note LIKE '50\%'"),
    (
        "a key is what it says: MLflow takes `name`, `run_id`, `text`, `prompt` and times for its own fields",
        "tags.name = 'agent'",
    ),
    ("a regular expression is one of RE2, and where it is none that is an error", "tags.env RLIKE '(?=p)'"),
    ("a number is written without quotes", "execution_time_ms > '5'"),
    ("what a row of a trace does not hold is an error", "prompt = 'greeting/1'"),
]


@pytest.mark.parametrize(("why", "text"), EXCEPTIONS)
def test_the_exceptions_are_still_needed(both: Both, why: str, text: str) -> None:
    """Each exception that docs/rules.md names: MLflow takes the filter, and a rule means something else, or
    refuses it.
    """
    of_mlflow = both.mlflow(text)
    try:
        condition = compile_condition(text)
    except ConditionError:
        return
    matched = Matcher([condition]).match(raw_table(both.landed, condition.columns))[0]
    assert set(both.landed["trace_id"].filter(pa.array(matched)).to_pylist()) != of_mlflow, why


def test_ilike_knows_all_alphabets_where_sqlite_knows_one(both: Both) -> None:
    assert both.rules("tags.note ILIKE 'NAÏVE'") == both.mlflow("tags.note LIKE 'naïve'") != set()
    assert both.mlflow("tags.note ILIKE 'NAÏVE'") == set()
