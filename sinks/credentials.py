"""Logins: secrets come from environment variables that the config names, certificates from files; both are
looked for before anything starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def secret(variable: str | None) -> str:
    """The value of that environment variable, without the line end that a file brings along; "" where there
    is none.
    """
    return os.environ.get(variable or "", "").strip()


def lacking(variables: Mapping[str, str | None], files: Mapping[str, str | None]) -> dict[str, str]:
    """What is wrong, by config key: variables that are unset or empty, and files that cannot be read."""
    found = {
        key: f"the environment variable {name} is not set"
        for key, name in variables.items()
        if name and not secret(name)
    }
    for key, name in files.items():
        if name and not os.access(name, os.R_OK):
            found[key] = f"{name} cannot be read" if Path(name).exists() else f"{name} does not exist"
    return found
