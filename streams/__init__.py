"""The Spark side: sources, the batch that makes facts and windows, and the one file that starts queries."""
