"""The program's log on stderr, as text or JSON; the libraries are kept quiet."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from tracesieve.terminal import plain

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


def set_up_logging(level: str, form: str) -> None:
    """Send our own log to stderr as ``form`` (text or json), from ``level`` on."""
    handler = logging.StreamHandler(sys.stderr)
    text = TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # whoever retries logs that it does
    # An error in a batch ends the query, and the run reports it.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    for name in PACKAGES:
        logging.getLogger(name).setLevel(level.upper())
