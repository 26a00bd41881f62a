"""What scorers said of the records of a version, and whether the gate let it through."""

from __future__ import annotations

from typing import Final

import polars as pl
import pyarrow as pa

from store.schemas.spec import Expiry, TableSpec
from store.schemas.types import I64, STR, STRINGS

# A row a record and scorer; what is said of the whole evaluation is the same in all its rows.
EVALUATIONS: Final = pa.schema(
    [
        pa.field("evaluation", STR),  # hash of the version, the scorers and the answers
        pa.field("attempt", I64),  # rises where a repeat said something else: errors are asked again
        pa.field("dataset", STR),
        pa.field("experiment_id", STR),  # of the dataset
        pa.field("version", STR),
        pa.field("answers", STR),  # "stored", or the function that gave them
        pa.field("at_us", I64),
        pa.field("run_id", STR),  # of MLflow
        pa.field("compared_with", STR),  # an evaluation
        pa.field("passed", pa.bool_()),
        pa.field("record", STR),  # digest of the inputs
        pa.field("shown", STR),  # their beginning
        pa.field("rules", STRINGS),  # id@hash of those that brought the record into the dataset
        pa.field("marked_failure", pa.bool_()),  # what a person says of it; null: nothing
        pa.field("scorer", STR),
        pa.field("scorer_hash", STR),
        pa.field("asks_model", pa.bool_()),
        pa.field("decides_failure", pa.bool_()),
        pa.field("content", STR),  # hash of what was judged
        pa.field("outcome", STR),  # pass | fail | error | skipped
        pa.field("value", STR),
        pa.field("rationale", STR),
    ]
)

_SET = ["dataset", "experiment_id", "answers"]


def _evaluations(expiry: Expiry, rows: pl.DataFrame) -> pl.DataFrame:
    """Stay: of each dataset the last evaluation and the last that passed, which the next is compared with."""
    heads = expiry.store.table("evaluations").read([*_SET, "evaluation", "at_us", "passed"]).unique()
    newest = heads.sort("at_us", "evaluation")
    kept = pl.concat(
        [
            newest.unique(_SET, keep="last", maintain_order=True),
            newest.filter("passed").unique(_SET, keep="last", maintain_order=True),
        ]
    )["evaluation"]
    return rows.filter((pl.col("at_us") >= expiry.cutoff_us) | pl.col("evaluation").is_in(kept.implode()))


TABLES: Final[dict[str, TableSpec]] = {
    "evaluations": TableSpec(EVALUATIONS, "evaluate", "at_us", 400, _evaluations),
}
