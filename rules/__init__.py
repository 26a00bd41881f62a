"""Pure core: rule models, the condition dialect, the vectorised matcher, histograms and verdicts.  No Spark, no client."""
