"""The Spark side: sources, the batch function that turns traces into facts and windows, and the one file that starts queries."""
