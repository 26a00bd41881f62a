"""How many traces of the server a first start leaves out, by the server's own counts."""

from __future__ import annotations

from collections.abc import Sequence

from streams.sources.base import LeftOut
from streams.sources.mlflow.client import MlflowReader
from streams.sources.mlflow.comparison import finished


def traces_before(reader: MlflowReader, experiments: Sequence[str], before_us: int) -> LeftOut:
    """The finished traces of these experiments (ids) that began before a time.

    Raises:
        SourceDown: the server failed.
    """
    total: int | None = 0
    for one in experiments:
        earliest_us = reader.earliest_us(one)
        if earliest_us is None or earliest_us >= before_us:
            continue
        number = finished(reader, one, earliest_us, before_us)
        total = None if number is None or total is None else total + number
    return LeftOut(total, before_us)
