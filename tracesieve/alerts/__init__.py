"""Alerts: verdicts of alert rules, the evidence behind them, and their notifications."""
