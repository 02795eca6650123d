"""Reads alerts, rankings and votes into the board's state; comes back when the broker does."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from worker.board.state import BoardState
from worker.encode import read_container
from worker.errors import AnomalyWorkerError
from worker.kafka import Read, TopicReader
from worker.topics import Topics

log = logging.getLogger(__name__)

POLL_S = 0.2
RETRY_S = 5.0


class Feed:
    """One thread that follows the three topics from `since_ms` (alerts) or their start."""

    def __init__(
        self,
        config: Mapping[str, str | int | float | bool],
        topics: Topics,
        state: BoardState,
        since_ms: int | None,
    ) -> None:
        self._config, self._state = config, state
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._followed: list[tuple[str, int | None, Callable[[Read], None]]] = [
            (topics.votes, None, self._vote),
            (topics.ranking, None, self._ranking),
            (topics.out, since_ms, self._alert),
        ]

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(RETRY_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except AnomalyWorkerError as error:
                log.warning("%s; trying again in %.0f s", error, RETRY_S)
                self._state.report(str(error))
                self._stop.wait(RETRY_S)

    def _follow(self) -> None:
        """Read what is there, then what comes; everything again after a failure."""
        readers: list[tuple[TopicReader, Callable[[Read], None]]] = []
        try:
            for topic, since_ms, take in self._followed:
                readers.append((TopicReader(self._config, topic, since_ms), take))
            for reader, take in readers:
                for read in reader.drain():
                    take(read)
            self._state.report(None)
            while not self._stop.is_set():
                for reader, take in readers:
                    _take_waiting(reader, take, POLL_S / len(readers))
        finally:
            for reader, _ in readers:
                reader.close()

    def _vote(self, read: Read) -> None:
        self._state.read_vote(read.key, _record(read))

    def _ranking(self, read: Read) -> None:
        record = _record(read)
        if record is not None:
            self._state.add_ranking(record)

    def _alert(self, read: Read) -> None:
        record = _record(read)
        if record is not None:
            self._state.add_alert(record)


def _take_waiting(reader: TopicReader, take: Callable[[Read], None], timeout_s: float) -> None:
    """Everything that comes before a silence of `timeout_s`."""
    while (found := reader.poll(timeout_s)) is not None:
        take(found)


def _record(read: Read) -> dict[str, Any] | None:
    """The record, None for an empty value or one that is not ours."""
    if not read.value:
        return None
    try:
        return read_container(read.value)
    except ValueError as error:
        log.warning("%s offset %d skipped: %s", read.partition, read.offset, error)
        return None
