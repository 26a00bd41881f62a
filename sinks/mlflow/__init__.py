"""MLflow as a sink: tags of traces, and records of evaluation datasets."""
