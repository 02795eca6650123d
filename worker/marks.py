"""How far the state has merged each input partition: the part of the store that notices a loss.

The next offset of a partition stands under 16 hash tags, one in each sixteenth of the slots, so
that marks move with their slots and every master of a cluster that loses its tail shows it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.cluster import key_slot  # type: ignore[attr-defined]  # exported, not typed so

from worker.errors import RestartRequiredError
from worker.types.records import TopicPartition

MARKS = 16
SLOTS = 16384
UNKNOWN = -1


def _tags() -> list[str]:
    """One hash tag in each sixteenth of the slots."""
    tags: dict[int, str] = {}
    number = 0
    while len(tags) < MARKS:
        tags.setdefault(key_slot(str(number).encode()) * MARKS // SLOTS, str(number))
        number += 1
    return [tags[part] for part in range(MARKS)]


class Marks:
    """The marks of one group, and what this process knows to be written."""

    def __init__(self, prefix: str, group: str) -> None:
        self.keys = [f"{prefix}mark:{group}:{{{tag}}}" for tag in _tags()]
        self._written: dict[TopicPartition, int] = {}

    def read(self, client: Any, partitions: Sequence[TopicPartition]) -> list[list[bytes | None]]:
        """What stands under every tag for these partitions."""
        if not partitions:
            return []
        pipe = client.pipeline(transaction=False)
        for key in self.keys:
            pipe.hmget(key, [_field(tp) for tp in partitions])
        return list(pipe.execute())

    def noted(
        self, partitions: Sequence[TopicPartition], rows: Sequence[Sequence[bytes | None]]
    ) -> dict[TopicPartition, int | None]:
        """The lowest mark of each partition, None where any is missing; kept as what is written."""
        marks: dict[TopicPartition, int | None] = {}
        for tp, column in zip(partitions, zip(*rows, strict=True), strict=True):
            values = [int(value) for value in column if value is not None]
            marks[tp] = min(values) if len(values) == MARKS else None
            self._written[tp] = min(values) if len(values) == MARKS else UNKNOWN
        return marks

    def raising(self, next_offsets: Mapping[TopicPartition, int]) -> "Raising":
        """Marks to be raised by one pipeline, from what is known to be written by now."""
        known = {tp: self._written.get(tp, UNKNOWN) for tp in next_offsets}
        return Raising(self, next_offsets, known)

    def raised(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Note what was written; another pipeline may have come first."""
        for tp, offset in next_offsets.items():
            self._written[tp] = max(offset, self._written.get(tp, UNKNOWN))


@dataclass(frozen=True, slots=True)
class Raising:
    """The marks of one pipeline. `known`: what had been written before the pipeline was made."""

    marks: Marks
    next_offsets: Mapping[TopicPartition, int]
    known: Mapping[TopicPartition, int]

    def queue(self, pipe: Any, sha: str) -> None:
        """The pipeline's last commands; a mark that is too low stays."""
        arguments = [
            part
            for tp, offset in self.next_offsets.items()
            for part in (_field(tp), self.known[tp], offset)
        ]
        for key in self.marks.keys:
            pipe.evalsha(sha, 1, key, *arguments)

    def check(self, answers: Sequence[Sequence[bytes]]) -> None:
        """Compare what stood there before; RestartRequiredError when the state lost its tail."""
        for before in answers:
            for tp, stored in zip(self.next_offsets, before, strict=True):
                if int(stored or UNKNOWN) < self.known[tp]:
                    raise RestartRequiredError(
                        f"Redis lost its tail: the mark of {_field(tp)} is "
                        f"{(stored or b'missing').decode()}, {self.known[tp]} was written"
                    )
        self.marks.raised(self.next_offsets)


def _field(tp: TopicPartition) -> str:
    return f"{tp.topic}/{tp.partition}"
