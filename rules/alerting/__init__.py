"""Whether an alert rule fires: the contract, sums of windows, histograms, the fold over instants."""
