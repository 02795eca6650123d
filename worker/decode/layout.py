"""Where a survey's columns lie in the kernel's row, and its rules as arrays."""

import numpy as np

from worker.decode.kernel import DETECTION, FORCED, LIMIT, PACKET, Rules
from worker.decode.mapping import MAX_POINTS, MAX_VALUES, Column, Survey, Table

LIMIT_COLUMNS = ("jd", "band", "programid", "diffmaglim")
"""Columns of a detection's row that an upper limit keeps."""


class Layout:
    """One slot of the row in hand per column of the packet's, detections' and forced tables.

    `rules`: for the kernel; `names`: the columns of each table. Spans of a packet:
    those of the survey, then the object's name, then its body.
    """

    def __init__(self, survey: Survey) -> None:
        tables = {PACKET: survey.packet, DETECTION: survey.detection, FORCED: survey.forced}
        self._starts: dict[int, int] = {}
        self.columns: list[Column] = []
        for number, table in tables.items():
            self._starts[number] = len(self.columns)
            self.columns += table.columns
        self.names = [[column.name for column in table.columns] for table in tables.values()]
        self.names.append(list(LIMIT_COLUMNS))
        rows = [[self._starts[n] + i for i in range(len(t.columns))] for n, t in tables.items()]
        rows.append([rows[DETECTION][self.names[DETECTION].index(n)] for n in LIMIT_COLUMNS])
        tables[LIMIT] = survey.detection

        slots = np.full((len(rows), max(map(len, rows))), -1)
        for number, row in enumerate(rows):
            slots[number, : len(row)] = row
        self.rules = Rules(
            np.array([(c.low, c.high, c.sentinel) for c in self.columns]),
            np.array([(len(row), table.required, table.identified)
                      for row, table in zip(rows, tables.values(), strict=True)]),
            slots,
            MAX_POINTS,
            MAX_VALUES,
        )  # fmt: skip
        self.name_span = len(survey.spans)
        self.spans = len(survey.spans) + 2

    def fields(self, number: int, table: Table) -> dict[str, tuple[int, Column]]:
        """Fields of a table's columns with their slots."""
        start = self._starts[number]
        return {column.field: (start + i, column) for i, column in enumerate(table.columns)}
