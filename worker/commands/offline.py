"""The run loop without Kafka: files in, messages kept in memory."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from worker.decode.files import read_files
from worker.embedded import EmbeddedRedis
from worker.metrics import Metrics
from worker.settings import Settings
from worker.types.records import Message, RecordBatch, TopicPartition


class FileSource:
    """Records of files, once; sets `stop` behind the last one."""

    def __init__(
        self,
        paths: Sequence[Path],
        stop: threading.Event,
        on_records: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._on_records = on_records
        self._batches: Iterator[RecordBatch] = read_files(paths)
        self._stop = stop

    def poll_batch(self) -> RecordBatch:
        """The next batch; empty at the end."""
        batch = next(self._batches, None)
        if batch is None:
            self._stop.set()
            return RecordBatch.empty()
        self._on_records(len(batch))
        return batch

    def read_ahead(self) -> RecordBatch:
        """The next batch."""
        return next(self._batches, None) or RecordBatch.empty()

    def advance(self) -> None:
        """A file's batches are never read again."""

    def replayed_below(self, partition: TopicPartition) -> int:  # noqa: ARG002 - the protocol's
        """Nothing of a file was committed before."""
        return 0

    def heartbeat(self) -> None:
        """There is no membership to keep."""

    def rewind(self) -> None:
        """A commit in memory can't be aborted."""


class MemorySink:
    """Keeps what would have been published."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def commit(
        self, messages: Sequence[Message], next_offsets: Mapping[TopicPartition, int]
    ) -> None:
        """Keep the messages."""
        del next_offsets
        self.messages += messages

    def on(self, topic: str) -> list[Message]:
        """Messages of one topic."""
        return [message for message in self.messages if message.topic == topic]


def score_files(
    settings: Settings,
    paths: Sequence[Path],
    metrics: Metrics,
    on_records: Callable[[int], None] = lambda _: None,
) -> MemorySink:
    """Run the loop over files with a Redis of its own; returns what it would publish.

    `on_records` is told the size of each batch as it is taken up.
    """
    from worker.commands.wiring import connect_store, load_scorer, make_loop

    stop, sink = threading.Event(), MemorySink()
    with EmbeddedRedis() as redis:
        own = {"url": redis.url, "url_file": None, "mode": "single"}
        local = settings.model_copy(update={"redis": settings.redis.model_copy(update=own)})
        store = connect_store(local)
        source, scorer = FileSource(paths, stop, on_records), load_scorer(local)
        loop = make_loop(
            local, source, sink, store, scorer, metrics, stop,
            limits={}, single_record=False,
        )  # fmt: skip
        loop.run()
        store.close()
    return sink
