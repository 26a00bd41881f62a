"""The store: Delta tables through delta-rs and Polars, never Spark: schemas, append, netting, windows,
lease.
"""

from store.errors import StoreError, StoreTaken, StoreUnwritable, StoreVersionError
from store.store import NETTED, Store, net_facts, open_store
from store.table import Table

__all__ = [
    "NETTED",
    "Store",
    "StoreError",
    "StoreTaken",
    "StoreUnwritable",
    "StoreVersionError",
    "Table",
    "net_facts",
    "open_store",
]
