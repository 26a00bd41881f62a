"""The demo: a real MLflow server, a simulated support agent, the monitor with the default pack, a view."""

EXPERIMENT = "support-agent"
