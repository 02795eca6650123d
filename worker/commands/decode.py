"""`anomaly-worker decode FILE...`: what the worker reads in packets on disk, no cuts applied."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from worker.commands.options import json_option
from worker.types.outcomes import DeadLetter
from worker.types.packets import BANDS, PacketBatch
from worker.types.records import RecordBatch

Line = dict[str, Any]


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@json_option
def decode(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Print every packet of .avro files and nightly archives, one line each.

    A file that can't be decoded is a line with `error` and `reason`.
    """
    from worker.decode import Decoder
    from worker.decode.files import MAX_FILE_BYTES, read_files

    decoder = Decoder(max_message_bytes=MAX_FILE_BYTES, single_record=False)
    for records in read_files(files):
        packets, dead = decoder.decode(records)
        for line in lines(records, packets, dead):
            click.echo(json.dumps(line) if as_json else _summary(line))


def lines(records: RecordBatch, packets: PacketBatch, dead: list[DeadLetter]) -> Iterator[Line]:
    """One line per packet or refused record, in the order of the records."""
    refused = {letter.record: letter for letter in dead}
    rows = np.searchsorted(packets.record, np.arange(len(records) + 1)).tolist()
    histories = [_Points(table, len(packets)) for table in _tables(packets)]
    for record in range(len(records)):
        if record in refused:
            letter = refused[record]
            topic = records.partitions[records.source[record]].topic
            yield {
                "error": letter.error,
                "reason": letter.reason,
                "file": topic,
                "index": int(records.offsets[record]),
            }
        for row in range(rows[record], rows[record + 1]):
            names = ("detections", "non_detections", "forced")
            history = {n: h.of(row) for n, h in zip(names, histories, strict=True)}
            yield {**_packet(packets, row), **history}


def _packet(packets: PacketBatch, row: int) -> Line:
    return {
        "objectId": packets.object_id[row],
        "candid": int(packets.candid[row]),
        "ra": float(packets.ra[row]),
        "dec": float(packets.dec[row]),
        "jd": float(packets.jd[row]),
        "band": BANDS[int(packets.band[row])],
        "magpsf": float(packets.magpsf[row]),
        "sigmapsf": float(packets.sigmapsf[row]),
        "programid": int(packets.programid[row]),
    }


def _tables(packets: PacketBatch) -> tuple[tuple[Any, dict[str, str]], ...]:
    """Each history table with the columns to print and their printed names."""
    detections = ("candid", "jd", "band", "magpsf", "sigmapsf", "positive", "programid")
    forced = ("jd", "band", "flux", "flux_err", "magzpsci", "programid")
    return (
        (packets.detections, {n: "isdiffpos" if n == "positive" else n for n in detections}),
        (packets.non_detections, {n: n for n in ("jd", "band", "diffmaglim", "programid")}),
        (packets.forced, {n: n for n in forced}),
    )


class _Points:
    """A history table by packet, values as JSON has them: null for NaN."""

    def __init__(self, table: tuple[Any, dict[str, str]], packets: int) -> None:
        points, names = table
        self._bounds = np.searchsorted(points.packet, np.arange(packets + 1)).tolist()
        columns = [getattr(points, name).tolist() for name in names]
        self._rows = [
            {name: _value(name, value) for name, value in zip(names.values(), row, strict=True)}
            for row in zip(*columns, strict=True)
        ]

    def of(self, packet: int) -> list[Line]:
        """The points of one packet, in its order."""
        return self._rows[self._bounds[packet] : self._bounds[packet + 1]]


def _value(name: str, value: Any) -> Any:
    if name == "band":
        return BANDS[value]
    if name == "isdiffpos":
        return "t" if value else "f"
    return None if isinstance(value, float) and math.isnan(value) else value


def _summary(line: Line) -> str:
    """A line for people."""
    if "error" in line:
        return f"{line['file']}[{line['index']}] refused ({line['reason']}): {line['error']}"
    counts = " ".join(
        f"{len(line[name])} {name}" for name in ("detections", "non_detections", "forced")
    )
    return (
        f"{line['objectId']} {line['candid']} jd {line['jd']:.5f} {line['band']}"
        f" {line['magpsf']:.2f} mag, {counts}"
    )
