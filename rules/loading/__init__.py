"""Rule files: reading them, with a diagnostic where each fault is; their tests, schema and reference."""
