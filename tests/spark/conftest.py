"""One Spark session for all tests that need one, and traces to feed it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streams.session import SparkConfig, session


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    started = session(SparkConfig(master="local[2]", memory="1g"))
    yield started
    started.stop()
