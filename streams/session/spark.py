"""The Spark session: Delta's jars from the cache, no UI, errors only in the log, little shuffling."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streams.errors import SparkUnavailable
from streams.session.config import SparkConfig

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_LOG4J = Path(__file__).with_name("log4j2.properties").resolve()
_CONF = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # A source's log is read with two tasks: the default of 50 costs seconds on a small machine.
    "spark.databricks.delta.snapshotPartitions": "2",
    # A source's stream reads each part of the table with its own schema, which is looked at before.
    "spark.databricks.delta.typeWidening.bypassStreamingTypeChangeCheck": "true",
    # What the matcher is given at once: few long columns are fast, but traces can be large.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
    "spark.sql.execution.arrow.maxBytesPerBatch": "64m",
    # A batch of 256 MB in tasks small enough that all cores end at about the same time.
    "spark.sql.files.maxPartitionBytes": "32m",
    "spark.sql.streaming.stopTimeout": "25s",
    "spark.sql.streaming.metricsEnabled": "false",
    "spark.log.level": "ERROR",
}
_LOOPBACK = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}


def session(config: SparkConfig) -> SparkSession:
    """Start (or find) the session; 7–12 s the first time on two cores.

    Raises:
        JavaMissing: there is no Java to run it on.
        JarsMissing: Delta's jars are neither kept nor to be had.
        SparkUnavailable: Java or the master that the config names does not let it start.
    """
    from streams.session.jars import resolve
    from streams.session.java import java_home

    os.environ["JAVA_HOME"] = str(java_home())
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if _local(config):  # else Spark warns of the host's name at every start
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("tracesieve").master(config.master)
    for key, value in _conf(config, resolve()).items():
        builder = builder.config(key, value)
    ctrl_c = signal.getsignal(signal.SIGINT)
    started = _started(builder, config.master)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, ctrl_c)  # Spark takes it for itself: cancels all jobs, and raises
    started.sparkContext.setLogLevel("ERROR")
    return started


def _conf(config: SparkConfig, jars: Sequence[Path]) -> dict[str, str]:
    """Everything that Spark is started with; what the config says wins."""
    conf = {**_CONF, "spark.driver.memory": config.memory, "spark.jars": ",".join(map(str, jars))}
    conf["spark.driver.extraJavaOptions"] = f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}"
    if _local(config):  # a cluster calls back to this machine by name, not by loopback
        conf |= _LOOPBACK
    return {**conf, **config.conf}


def _local(config: SparkConfig) -> bool:
    return config.master.startswith("local")


def _started(builder: SparkSession.Builder, master: str) -> SparkSession:
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        return builder.getOrCreate()
    except Py4JJavaError as error:
        reason = error.java_exception.getMessage() or str(error)
        raise SparkUnavailable(f"Spark could not be started (spark.master: {master}): {reason}") from error
    except (PySparkException, Py4JError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise SparkUnavailable(f"Spark could not be started (spark.master: {master}): {reason}") from error
