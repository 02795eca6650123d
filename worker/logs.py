"""Logging: text on a terminal, one JSON object per line elsewhere; always to stderr."""

import json
import logging
import os
import re
import sys
import threading
from datetime import UTC, datetime
from typing import Literal

LogFormat = Literal["auto", "text", "json"]

CONTEXT_KEYS = (
    "topic", "partition", "offset", "object_id", "candid", "batch", "dur_s", "suppressed",
)  # fmt: skip
"""Keys that a call may add with `extra=`; never a payload, never a secret."""

BURST = 20
PERIOD_S = 10.0
"""Of each event this many lines pass in a period; the next that passes says how many did not."""

_SECRETS = (
    re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)"),
    re.compile(r"(?i)(?<=password[=:])\S+"),
)
"""User parts of addresses and passwords, as clients may quote them in their errors."""


class RateLimit(logging.Filter):
    """Lets BURST lines of each event through per period; an event is its unformatted message."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line may pass."""
        with self._lock:
            since, count = self._seen.get(record.msg, (record.created, 0))
            if record.created - since >= PERIOD_S:
                if count > BURST:
                    record.suppressed = count - BURST
                since, count = record.created, 0
            self._seen[record.msg] = since, count + 1
            return count < BURST


class JsonFormatter(logging.Formatter):
    """One JSON object per line with fixed keys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return `{"ts", "level", "event", ...}`; exceptions as one string under `error`."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": without_secrets(record.getMessage()),
        }
        line.update({key: getattr(record, key) for key in CONTEXT_KEYS if hasattr(record, key)})
        if record.exc_info:
            line["error"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, message."""
        return without_secrets(super().format(record))


def without_secrets(text: str) -> str:
    """The text with user parts of addresses and passwords masked."""
    for pattern in _SECRETS:
        text = pattern.sub("********", text)
    return text


def configure(log_format: LogFormat, level: int = logging.INFO) -> None:
    """Send the worker's log to stderr; `auto` is text on a terminal, JSON elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    plain = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    if plain or os.environ.get("TERM") == "dumb":
        handler.setFormatter(TextFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    else:
        handler.setFormatter(JsonFormatter())
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def remind(logger: logging.Logger, message: str, every_s: float = 60.0) -> threading.Event:
    """Warn now and again and again, from a thread of its own, until the event is set."""
    enough = threading.Event()

    def repeat() -> None:
        logger.warning(message)
        while not enough.wait(every_s):
            logger.warning(message)

    threading.Thread(target=repeat, name="reminder", daemon=True).start()
    return enough
