"""The kernel's tables: filled by jobs, grown where they are full, turned into a batch's columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.decode import kernel
from worker.decode.layout import Layout
from worker.decode.library import Library
from worker.decode.mapping import Survey
from worker.decode.rows import Point
from worker.types.arrays import Int64
from worker.types.packets import Detections, ForcedPoints, NonDetections, PacketBatch

_POINTS_PER_PACKET = 32
"""First guess; a table that is too small is doubled."""

_DTYPES = {"band": np.uint8, "programid": np.uint8, "positive": np.bool_}
"""Columns that are no float64."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """What to decode: `cells` (J, kernel.JOB_CELLS) in the order of the records.

    `blocks`: the bytes that each job reads.
    """

    cells: Int64
    blocks: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.cells)


class Tables:
    """Rows of packets and of their history; one instance per batch."""

    def __init__(self, layout: Layout, packets: int) -> None:
        self._layout = layout
        packets = max(packets, 1)
        points = _POINTS_PER_PACKET * packets
        sizes = (packets, points, points, points)
        self._output = kernel.Output(
            tuple(np.empty((size, len(n))) for n, size in zip(layout.names, sizes, strict=True)),
            tuple(np.empty(size, np.int64) for size in sizes),
            tuple(np.empty(size, np.int64) for size in sizes),
            np.empty((packets, layout.spans, 2), np.int64),
            np.zeros(kernel.STATE_CELLS, np.int64),
        )
        self._names: dict[int, str] = {}

    def run(self, jobs: Jobs, first: int, stop: int, library: Library) -> Int64:
        """Run jobs; failures (J, 3): error (see `kernel`; 0: none), slot, identifier."""
        failures = np.zeros((len(jobs), 3), np.int64)
        rules, hand = self._layout.rules, kernel.make_hand(len(self._layout.columns))
        done = first
        while True:
            done = kernel.run(
                done, jobs.cells[:stop], library.programs, rules, hand, self._output, failures
            )
            if done >= stop:
                return failures
            self._grow()

    def append(
        self, job: int, name: str, spans: Int64, rows: Mapping[int, Sequence[Point]]
    ) -> None:
        """Write one packet that was decoded elsewhere: its rows by table."""
        packet = int(self._output.state[kernel.PACKET])
        self._names[packet] = name
        for table, points in rows.items():
            for key, columns in points:
                self._append(table, job if table == kernel.PACKET else packet, key, columns)
        self._output.spans[packet] = spans

    def _append(self, table: int, owner: int, key: int | None, columns: Sequence[float]) -> None:
        row = int(self._output.state[table])
        while row >= len(self._output.owners[table]):
            self._grow()
        self._output.columns[table][row] = columns
        self._output.owners[table][row] = owner
        self._output.keys[table][row] = kernel.NULL_IDENTIFIER if key is None else key
        self._output.state[table] = row + 1

    def _grow(self) -> None:
        columns, owners, keys, spans, state = self._output
        self._output = kernel.Output(
            tuple(map(_doubled, columns)),
            tuple(map(_doubled, owners)),
            tuple(map(_doubled, keys)),
            _doubled(spans),
            state,
        )

    def batch(self, jobs: Jobs, library: Library, survey: Survey) -> PacketBatch:
        """The rows as columns."""
        owners = self._output.owners[kernel.PACKET][: self._output.state[kernel.PACKET]]
        cells = jobs.cells[owners]
        spans = self._output.spans[: len(owners)] - cells[:, kernel.ADDRESS, None, None]
        # One copy in which each span of all packets is contiguous; absent ones are below 0.
        spans = np.maximum(spans, -1).transpose(1, 0, 2).copy()
        blocks = [jobs.blocks[job] for job in owners.tolist()]
        is_used = np.zeros(len(library.entries), np.bool_)
        is_used[cells[:, kernel.PROGRAM]] = True
        texts = [library.entries[number].text for number in np.flatnonzero(is_used).tolist()]
        return PacketBatch(
            record=cells[:, kernel.RECORD].astype(np.int32),
            schemas=texts,
            schema=(np.cumsum(is_used, dtype=np.int32) - 1)[cells[:, kernel.PROGRAM]],
            blocks=blocks,
            body=spans[-1],
            spans=dict(zip(survey.spans, spans, strict=False)),
            object_id=self._object_ids(blocks, spans[self._layout.name_span]),
            candid=self._candid(kernel.PACKET),
            **self._columns(kernel.PACKET),
            detections=Detections(
                candid=self._candid(kernel.DETECTION), **self._points(kernel.DETECTION)
            ),
            non_detections=NonDetections(**self._points(kernel.LIMIT)),
            forced=ForcedPoints(**self._points(kernel.FORCED)),
        )

    def _points(self, table: int) -> dict[str, Any]:
        owners = self._output.owners[table][: self._output.state[table]]
        return {"packet": owners.astype(np.int32), **self._columns(table)}

    def _candid(self, table: int) -> Int64:
        keys: Int64 = self._output.keys[table]
        return keys[: self._output.state[table]].copy()

    def _columns(self, table: int) -> dict[str, Any]:
        rows = self._output.columns[table][: self._output.state[table]]
        columns = dict(zip(self._layout.names[table], rows.T.copy(), strict=True))
        return columns | {
            name: columns[name].astype(kind) for name, kind in _DTYPES.items() if name in columns
        }

    def _object_ids(self, blocks: Sequence[bytes], spans: Int64) -> list[str]:
        names = [
            block[start:stop].decode("ascii")
            for block, (start, stop) in zip(blocks, spans.tolist(), strict=True)
        ]
        for packet, name in self._names.items():
            names[packet] = name
        return names


def _doubled(array: Any) -> Any:
    return np.concatenate([array, np.empty_like(array)])
