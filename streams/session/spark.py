"""The Spark session: Delta's jars from the cache, no UI, errors only in the log, little shuffling."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class SparkConfig(BaseModel):
    """Which Spark: any master, the driver's memory, and whatever else Spark should be told, in its own
    names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    master: str = Field(
        default="local[*]", description="any Spark master: local[*], spark://…, k8s://…, yarn"
    )
    memory: str = Field(
        default="2g", pattern=r"^\d+[kmgKMG]$", description="the driver's memory, as the JVM writes it"
    )
    conf: dict[str, str] = Field(
        default={}, description="whatever else Spark should be told, in its own names"
    )


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
    # What the matcher is given at once: few long columns are fast, but traces can be large.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
    "spark.sql.execution.arrow.maxBytesPerBatch": "64m",
    # A batch of 256 MB in tasks small enough that all cores end at about the same time.
    "spark.sql.files.maxPartitionBytes": "32m",
    "spark.sql.streaming.stopTimeout": "25s",
    "spark.sql.streaming.metricsEnabled": "false",
    "spark.log.level": "ERROR",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
_LOOPBACK = ("spark.driver.host", "spark.driver.bindAddress")


def session(config: SparkConfig) -> SparkSession:
    """Start (or find) the session; 7–12 s the first time on two cores.

    Raises:
        JavaMissing: there is no Java to run it on.
        JarsMissing: Delta's jars are neither kept nor to be had.
    """
    from streams.session.jars import resolve
    from streams.session.java import java_home

    os.environ["JAVA_HOME"] = str(java_home())
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    local = config.master.startswith("local")
    if local:
        os.environ.setdefault(
            "SPARK_LOCAL_IP", "127.0.0.1"
        )  # else Spark warns of the host's name at every start
    conf = {**_CONF, "spark.driver.memory": config.memory, "spark.jars": ",".join(map(str, resolve()))}
    conf["spark.driver.extraJavaOptions"] = f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}"
    if not local:  # a cluster calls back to this machine by name, not by loopback
        conf = {
            key: value
            for key, value in conf.items()
            if not key.startswith(("spark.driver.host", "spark.driver.bind"))
        }
    builder = SparkSession.builder.appName("tracesieve").master(config.master)
    for key, value in {**conf, **config.conf}.items():
        builder = builder.config(key, value)
    ctrl_c = signal.getsignal(signal.SIGINT)
    started = builder.getOrCreate()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, ctrl_c)  # Spark takes it for itself: cancels all jobs, and raises
    started.sparkContext.setLogLevel("ERROR")
    return started
