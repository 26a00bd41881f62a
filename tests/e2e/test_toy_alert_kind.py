"""A kind of alert rule that is one file (``tests/support/toy_alert_kind.py``) and one registry line, in a
real ``run --once`` over a Delta table: it alerts, tags its evidence, and is listed and explained.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import toy_alert_kind
from support.command_line import SPARK, write_table
from support.servers import MlflowServer

from store import open_store

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
RULES = """version: 1
rules:
  - {id: failing, when: "status = 'ERROR'", tag: error_case}
  - id: surge
    surge: {minutes: 5, times: 2, in_a_row: 1}
    only: status = 'ERROR'
    by: [experiment]
    evidence: {tag: edge_case, most: 5}
"""


def answer(*arguments: str) -> Any:
    command = [sys.executable, toy_alert_kind.__file__, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_run_alerts_with_it_and_its_evidence_is_tagged_and_explained(
    tmp_path: Path, mlflow_server: MlflowServer
) -> None:
    write_table(tmp_path / "traces", 120)
    write_table(tmp_path / "traces", 240, "burst", every_s=0.25)  # twenty times as many in a minute
    (tmp_path / "rules.yaml").write_text(RULES)
    config = str(tmp_path / "c.yaml")
    Path(config).write_text(
        "source: {kind: delta_traces, table: traces}\nstore: st\nrules: [rules.yaml]\n"
        f"mlflow: {{tracking_uri: '{mlflow_server.uri}'}}\ndatasets: false\n" + SPARK
    )
    assert answer("run", "--once", "-c", config)["traces"] == 360
    (alert,) = answer("alerts", "list", "-c", config)["alerts"]
    assert (alert["rule"], alert["status"], alert["group"]) == ("surge", "firing", {"experiment": "support"})
    assert alert["condition"] == "2 times the traffic of the 5 minutes before"
    evidence = set(alert["evidence"])
    assert len(evidence) == 5
    assert evidence <= {
        f"{name}-{i}" for name in ("tr", "burst") for i in range(0, 240, 4)
    }  # those that failed
    found = tagged(tmp_path / "st")  # with those of the first traffic of all, which was a surge too
    assert evidence <= found
    explained = answer("explain", min(evidence), "-c", config)
    assert [row["rule"] for row in explained["evidence_of"]] == ["surge"]
    assert {row["rule"]: row["matched"] for row in explained["rules"]} == {"failing": True, "surge": True}
    listed = {row["id"]: row["kind"] for row in answer("rules", "list", "-c", config)["rules"]}
    assert listed == {"failing": "trace", "surge": "surge"}
    assert answer("report", "-c", config)["rules"] == {"failing": 90, "surge": len(found)}


def tagged(store: Path) -> set[str]:
    """The traces whose tags were to name the rule."""
    rows = open_store(str(store), create=False).table("outbox").read().filter(sink="mlflow_tags")
    payloads = map(json.loads, rows["payload"])
    return {payload["trace_id"] for payload in payloads if "surge" in payload["rules"]}
