"""What is stated of every table: its columns, its single writer, how long its rows are kept, and which old
rows stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import polars as pl

    from store.store import Store

IsWithdrawal = Callable[[str, dict[str, Any]], bool]  # of a sink's name and the payload of its message


@dataclass(frozen=True)
class Expiry:
    """What a table's ``keeps`` may ask when rows older than ``cutoff_us`` expire.

    ``is_withdrawal`` says whether nothing is left to take back of a target once that message is delivered.
    """

    store: Store
    cutoff_us: int
    is_withdrawal: IsWithdrawal


# Of some rows of a table those that stay.
Keeps = Callable[[Expiry, "pl.DataFrame"], "pl.DataFrame"]


@dataclass(frozen=True)
class TableSpec:
    """One table.

    ``writer`` alone may append to it.  Rows expire by whole days (UTC) of the column ``expires_by``, after
    ``kept_days`` unless the config says otherwise (None: never).  ``keeps`` says which old rows stay all the
    same, because something still depends on them; None: no old row stays.  ``detail`` are large columns
    that followers are not given.  ``row_group``: the rows of a row group once compacted, where the usual
    number is too many.
    """

    schema: pa.Schema
    writer: str
    expires_by: str | None = None
    kept_days: int | None = None
    keeps: Keeps | None = None
    detail: tuple[str, ...] = ()
    row_group: int | None = None
