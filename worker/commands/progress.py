"""One line of progress on a terminal, a line every ten seconds elsewhere; always on stderr."""

import sys
import time

TERMINAL_S, LOG_S = 0.2, 10.0


class Progress:
    """Counts what was done; the total of a stream is not known, so there is a rate, no end."""

    def __init__(self, what: str) -> None:
        self._what, self._count = what, 0
        self._terminal = sys.stderr.isatty()
        self._start = self._said = time.monotonic()

    def add(self, count: int) -> None:
        """So many more are done."""
        self._count += count
        now = time.monotonic()
        if now - self._said >= (TERMINAL_S if self._terminal else LOG_S):
            self._said = now
            self._say(now)

    def close(self) -> None:
        """End the line, so that the next one starts at its beginning."""
        if self._terminal:
            self._say(time.monotonic())
            sys.stderr.write("\n")

    def _say(self, now: float) -> None:
        rate = self._count / max(now - self._start, 1e-9)
        start, end = ("\r", "") if self._terminal else ("", "\n")
        sys.stderr.write(f"{start}{self._count} {self._what}, {rate:.0f}/s{end}")
        sys.stderr.flush()
