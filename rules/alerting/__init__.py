"""Whether an alert rule fires: sums of windows, histograms, the fold over instants, and its verdicts."""
