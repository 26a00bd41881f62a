"""The columns of every table in the store, one file a family."""

from store.schemas.tables import ASSESSMENT, FACTS, HIT, SPAN, SPAN_EVENT, TABLES, TRACES, TableSpec

__all__ = ["ASSESSMENT", "FACTS", "HIT", "SPAN", "SPAN_EVENT", "TABLES", "TRACES", "TableSpec"]
