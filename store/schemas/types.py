"""Column types that several tables share."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

STR: Final = pa.string()
I64: Final = pa.int64()
STRINGS: Final = pa.list_(STR)
HIT: Final = pa.struct([pa.field("rule", STR), pa.field("hash", STR)])
