"""Where a page goes: a file, whole or not at all, or standard output."""

from __future__ import annotations

import os
from pathlib import Path

import click

from tracesieve.errors import OutsideError


def saved(page: str, file: str) -> None:
    """Write the page as UTF-8 to ``file``, ``-`` for standard output; a page that is there is replaced.

    Raises:
        OutsideError: the file cannot be written.
    """
    if file == "-":
        click.echo(page, nl=False)
        return
    path = Path(file)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    except (OSError, ValueError) as error:
        part.unlink(missing_ok=True)
        raise OutsideError(
            f"--html {file} cannot be written: {getattr(error, 'strerror', None) or error}"
        ) from error
