"""Spark is used only through what Spark Connect has: no RDDs, no SparkContext outside the session builder, no
DeltaTable.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

STREAMS = Path(__file__).resolve().parents[3] / "streams"
FORBIDDEN = {
    "sparkContext",
    "_sc",
    "_jvm",
    "_jsc",
    "_jdf",
    "rdd",
    "toJavaRDD",
    "foreachPartition",
    "DeltaTable",
    "udf",
}
BUILDER = STREAMS / "session" / "spark.py"  # it starts a session, and may speak to its context


def names_used(text: str) -> set[str]:
    """The attributes that a file takes of anything, and the names that it imports from Spark or its Delta
    package.
    """
    tree = ast.parse(text)
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("pyspark", "delta"):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize(
    "file", sorted(STREAMS.rglob("*.py")), ids=lambda file: str(file.relative_to(STREAMS))
)
def test_only_what_spark_connect_has(file: Path) -> None:
    if file != BUILDER:
        assert names_used(file.read_text(encoding="utf-8")) & FORBIDDEN == set()


def test_the_check_sees_what_it_forbids() -> None:
    assert names_used("df.rdd.map(f)\nspark.sparkContext\nfrom delta.tables import DeltaTable") >= {
        "rdd",
        "sparkContext",
        "DeltaTable",
    }


def test_one_file_starts_queries() -> None:
    starts = [
        file.name
        for file in STREAMS.rglob("*.py")
        if "writeStream" in names_used(file.read_text(encoding="utf-8"))
    ]
    assert starts == ["query.py"]
