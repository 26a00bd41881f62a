"""The store: Delta tables written and read with delta-rs and Polars, never with Spark: schemas, append, tail, upkeep, lease."""
