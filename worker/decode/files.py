"""Packets on disk as records: .avro files and nightly tar archives, streamed."""

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from worker.errors import ConfigError
from worker.types.records import RecordBatch, TopicPartition

BATCH_RECORDS = 256

MAX_FILE_BYTES = 64 * 1024 * 1024
"""A larger file is cut here; the guard then refuses what is left of it."""


def read_files(paths: Sequence[Path]) -> Iterator[RecordBatch]:
    """Batches of at most 256 records, one record per file or archive member.

    A path's name is the topic, its partition 0, the offset the index of the record in it.
    Raises ConfigError when a path can't be opened or an archive is broken.
    """
    for path in paths:
        yield from record_batches(path.name, _values(path))


def record_batches(name: str, values: Iterable[bytes]) -> Iterator[RecordBatch]:
    """Batches of at most 256 of these values, as records of partition 0 of topic `name`."""
    start, rest = 0, iter(values)
    while batch := list(islice(rest, BATCH_RECORDS)):
        yield _record_batch(name, start, batch)
        start += len(batch)


def _values(path: Path) -> Iterable[bytes]:
    try:
        if ".tar" in path.suffixes or path.suffix in {".tgz", ".tar"}:
            yield from _members(path)
        else:
            with path.open("rb") as stream:
                yield stream.read(MAX_FILE_BYTES)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise ConfigError(f"can't read {path}: {error}") from error


def _members(path: Path) -> Iterator[bytes]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None:
                yield stream.read(MAX_FILE_BYTES)


def _record_batch(name: str, start: int, values: Sequence[bytes]) -> RecordBatch:
    partition = TopicPartition(name, 0)
    count = len(values)
    return RecordBatch(
        partitions=[partition],
        source=np.zeros(count, dtype=np.int32),
        offsets=np.arange(start, start + count, dtype=np.int64),
        timestamps_ms=np.full(count, -1, dtype=np.int64),
        values=list(values),
        keys=[None] * count,
        headers=[()] * count,
        starts={partition: start},
    )
