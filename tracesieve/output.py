"""Standard output and error of the process: their reader may go away, or have no room.

``tracesieve report | head -1`` is no failure: once nobody reads, what is printed goes nowhere, and the
command goes on to its own end and its own exit code.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracesieve.errors import OutsideError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Unread(io.FileIO):
    """A descriptor that is turned to nowhere when it cannot be written; ``name``: what to say then."""

    def __init__(self, descriptor: int, name: str | None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._name = name

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or give up what is to be written.

        Raises:
            OutsideError: it is a file that cannot be written, on a full disk for instance.
        """
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if self._name is not None and not isinstance(error, BrokenPipeError):
                raise OutsideError(f"{self._name} cannot be written: {error.strerror}") from error
            return memoryview(data).nbytes


def outlive_readers() -> None:
    """Let no command fail because who read its output is gone; once a process."""
    # Tests put others in their place, which stay.
    if sys.stdout is sys.__stdout__:
        sys.stdout = _over(sys.stdout, "standard output")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _over(sys.stderr, None)  # there is nowhere to say it


def _over(stream: Any, name: str | None) -> Any:
    if stream is None:  # the process was started without it
        return Path(os.devnull).open("w", encoding="utf-8")
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Unread(stream.fileno(), name)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )
