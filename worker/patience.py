"""Waiting for a dependency that is away: the membership is kept, nothing is committed."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from worker.errors import TransientError
from worker.metrics import Metrics
from worker.rooms import Source

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

FIRST_DELAY_S = 0.2
"""Delay before the first repetition of a call; it doubles up to LONGEST_DELAY_S, with jitter."""

LONGEST_DELAY_S = 10.0


class Stopped(Exception):  # noqa: N818 - not an error: the way out of a wait
    """The stop was asked for while the loop waited for a dependency."""


class Patience:
    """Calls that may fail because their dependency is away, on the thread that polls."""

    def __init__(self, source: Source, metrics: Metrics, stop: threading.Event) -> None:
        self._source, self._metrics, self._stop = source, metrics, stop

    def once(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """One try of what is going to be tried again; None while its dependency is away."""
        try:
            return call(*args, **kwargs)
        except TransientError as error:
            log.warning("to be tried again: %s", error)
            self._metrics.transient_errors.inc()
            return None

    def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Repeat a call while its dependency is away; membership is kept, nothing committed."""
        delay_s = FIRST_DELAY_S
        while True:
            try:
                return call(*args, **kwargs)
            except TransientError as error:
                log.warning("waiting %.1f s: %s", delay_s, error)
                self._metrics.transient_errors.inc()
            deadline = time.monotonic() + delay_s * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
            while time.monotonic() < deadline:
                self._source.heartbeat()
                if self._stop.wait(0.1):
                    raise Stopped
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)
