"""The program's log on stderr, as text or JSON; the libraries are kept quiet."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TextIO

from tracesieve.terminal import plain

_CLEARED = "\r\x1b[2K"  # to the beginning of the line, which is emptied
PACKAGES = ("tracesieve", "streams", "sinks", "store", "rules")


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's time, level, logger and message, with ``extra={"fields": {...}}`` merged in."""
        line: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """One line a record: time, level, logger, message.

    Text from servers and traces cannot move the cursor.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line without a traceback, made harmless."""
        return plain(super().formatMessage(record))


class StatusHandler(logging.StreamHandler[TextIO]):
    """Lines of the log, and below them on a terminal one line that is rewritten in place."""

    _status = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line of the log above the rewritten one."""
        if self._status:
            self.stream.write(_CLEARED)
        super().emit(record)
        self._rewrite()

    def show(self, text: str) -> None:
        """Rewrite the line; "" takes it away."""
        with self.lock or nullcontext():
            if self._status:
                self.stream.write(_CLEARED)
            width = shutil.get_terminal_size().columns - 1
            self._status = plain(text, width)
            self._rewrite()

    def _rewrite(self) -> None:
        self.stream.write(self._status)
        self.flush()


def status_line() -> Callable[[str], None] | None:
    """What rewrites one line below the log; None where stderr is no terminal, or the log is JSON."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, StatusHandler) and handler.stream.isatty():
            return None if isinstance(handler.formatter, JsonFormatter) else handler.show
    return None


def set_up_logging(level: str, form: str) -> None:
    """Send our own log to stderr as ``form`` (text or json), from ``level`` on."""
    handler = StatusHandler(sys.stderr)
    text = TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # whoever retries logs that it does
    # An error in a batch ends the query, and the run reports it.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    for name in PACKAGES:
        logging.getLogger(name).setLevel(level.upper())
