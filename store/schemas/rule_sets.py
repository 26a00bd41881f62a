"""The sets of rules that were ever in force."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from store.schemas.spec import TableSpec
from store.schemas.types import I64, STR, STRINGS

RULE_SETS: Final = pa.schema(
    [
        pa.field("rule_set_hash", STR),
        pa.field("loaded_us", I64),
        pa.field("group_by", STRINGS),
        pa.field("rule_set", STR),
    ]
)


TABLES: Final[dict[str, TableSpec]] = {"rule_sets": TableSpec(RULE_SETS, "run")}
