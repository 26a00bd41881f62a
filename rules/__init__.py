"""The pure core: rules, conditions, the matcher, histograms and verdicts; no Spark, no client, no table."""
