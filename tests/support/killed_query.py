"""The child of test_delta_kills: the live query and the followers over a table, as a run has them, until it
is killed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from support.delta_cases import clock, follower, opened

import streams.query
from streams.session.config import SparkConfig
from streams.session.spark import session


def work(store_path: Path, source: Path) -> None:
    """Never ends by itself."""
    streams.query._MOST_BYTES = "1"  # a file a batch, so that there are many
    streams.query._TRIGGER = "0 seconds"
    spark = session(SparkConfig(master="local[2]", memory="1g"))
    store, config = opened(store_path, source)
    handle = streams.query.start(spark, config, clock)
    step = follower(store, config.stream_id)
    while handle.active:
        step()
        time.sleep(0.2)
    raise SystemExit(handle.error())


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]))
