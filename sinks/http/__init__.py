"""The HTTP server of ``/metrics``, ``/healthz`` and ``/readyz``."""
