"""The JSON schema of a rule file, made from the models that check it, for editors."""

from __future__ import annotations

from typing import Any

from rules.duration_key import DURATION_PATTERN
from rules.kinds import file_model
from rules.units import seconds_text


def rule_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of one rule file; durations are texts such as ``5m``."""
    schema = file_model().model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tracesieve rule file",
        **_texts(schema),
    }


def _texts(part: Any) -> Any:
    """Durations are integers inside the program and texts in the file; so are their defaults."""
    if isinstance(part, list):
        return [_texts(item) for item in part]
    if not isinstance(part, dict):
        return part
    result = {key: _texts(value) for key, value in part.items()}
    if result.get("pattern") == DURATION_PATTERN and isinstance(result.get("default"), int):
        result["default"] = seconds_text(result["default"])
    return result
