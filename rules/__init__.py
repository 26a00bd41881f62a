"""Pure core: rules, the condition dialect, the vectorised matcher, histograms, verdicts.  No Spark, no
client.
"""
