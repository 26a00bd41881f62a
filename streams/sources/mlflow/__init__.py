"""An MLflow tracking server as a source."""
