"""Alerts: verdicts of alert rules, the evidence behind them, and what is said of them."""
