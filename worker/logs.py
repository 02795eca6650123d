"""Logging: text on a terminal, one JSON object per line elsewhere; always to stderr."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Literal

LogFormat = Literal["auto", "text", "json"]

CONTEXT_KEYS = ("topic", "partition", "offset", "object_id", "candid", "batch", "dur_s")
"""Keys that a call may add with `extra=`; never a payload, never a secret."""


class JsonFormatter(logging.Formatter):
    """One JSON object per line with fixed keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return `{"ts", "level", "event", ...}`; exceptions as one string under `error`."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({key: getattr(record, key) for key in CONTEXT_KEYS if hasattr(record, key)})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(log_format: LogFormat, level: int = logging.INFO) -> None:
    """Send the worker's log to stderr; `auto` is text on a terminal, JSON elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    plain = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    if plain or os.environ.get("TERM") == "dumb":
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    else:
        handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
