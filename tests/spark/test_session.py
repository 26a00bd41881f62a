"""The session that everything runs in."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.spark


def test_the_long_methods_that_spark_makes_of_a_batch_are_compiled(spark: Any) -> None:
    machine = spark._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean()
    assert "-XX:-DontCompileHugeMethods" in list(machine.getInputArguments())
    assert "-XX:-DontCompileHugeMethods" in spark.conf.get("spark.executor.extraJavaOptions")
