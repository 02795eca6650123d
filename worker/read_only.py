"""The live state for a replay: the store's questions without a trace left in Redis."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from worker.store import Store
from worker.types.arrays import Bool, Int64
from worker.types.judgement import Claims, Emission
from worker.types.light_curves import StoredCurves
from worker.types.packets import PacketBatch
from worker.types.records import TopicPartition


class ReadOnlyStore(Store):
    """A store that merges, claims and remembers nothing."""

    def merge(
        self, packets: PacketBatch, public: Bool, next_offsets: Mapping[TopicPartition, int]
    ) -> StoredCurves:
        """What is there of the public packets' objects."""
        del next_offsets
        rows = np.flatnonzero(public).astype(np.int32)
        index: dict[str, int] = {}
        for row in rows.tolist():
            index.setdefault(packets.object_id[row], len(index))

        def call() -> list[Any]:
            pipe = self._client.pipeline(transaction=False)
            self._queue_reading(pipe, list(index))
            return list(pipe.execute())

        pieces = [piece or b"" for piece in chain.from_iterable(self._call("read", call))]
        return StoredCurves(rows, index, pieces, max_points=self._max_points)

    def claim(
        self,
        object_ids: Sequence[str],
        candids: Int64,
        positions: Sequence[tuple[TopicPartition, int]],
    ) -> Claims:
        """Who holds each candid; what nobody holds counts as first."""

        def call() -> list[Any]:
            pipe = self._client.pipeline(transaction=False)
            for name, candid in zip(object_ids, candids.tolist(), strict=True):
                pipe.get(f"{self._prefix}claim:{self._group}:{{{name}}}:{candid}")
                pipe.zrange(self._emissions_key(name), 0, -1, withscores=True)
            return list(pipe.execute())

        answers = self._call("read", call)
        first = [
            stored in {None, f"{tp.topic}/{tp.partition}/{offset}".encode()}
            for (tp, offset), stored in zip(positions, answers[::2], strict=True)
        ]
        emissions = [[_emission(*entry) for entry in entries] for entries in answers[1::2]]
        return Claims(first=np.array(first, dtype=bool), emissions=emissions)

    def remember(self, *_: Any) -> None:
        """Emissions of a replay are nobody's memory."""


def _emission(member: bytes, jd: float) -> Emission:
    candid, p = member.decode().split(" ")
    return Emission(int(candid), jd, float(p))
