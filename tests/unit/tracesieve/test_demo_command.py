"""``tracesieve demo --traffic``: what it refuses. ``tests/e2e/test_docs_run.py`` sends traces with it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tracesieve.cli import cli


@pytest.mark.parametrize("uri", ["127.0.0.1:5000", "sqlite:///mlflow.db", ""])
def test_traffic_goes_to_a_server_by_its_address(uri: str) -> None:
    done = CliRunner().invoke(cli, ["demo", "--traffic", uri])
    assert done.exit_code == 2
    assert "http://127.0.0.1:5000" in done.output
