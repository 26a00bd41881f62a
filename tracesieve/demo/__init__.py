"""The demo: a real MLflow server, a simulated support agent, the monitor on its default pack, and a view of
it all.
"""

EXPERIMENT = "support-agent"
