"""What an alert copies from its packet: candidate, stamps, publisher; as bytes where it can."""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import fastavro

from worker.decode.framing import read_long
from worker.decode.schema import parse_schema
from worker.encode.columns import NULL, VALUE, Cells, doubles, string, varint
from worker.encode.history import MAGNITUDE_ERROR, bands, flux, signed
from worker.types.arrays import Integers
from worker.types.packets import PacketBatch

Fields = dict[str, Any]

CUTOUTS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")

COPIED = ("schemavsn", "publisher", "cdsxmatch", *CUTOUTS)

ADDED = ("psfFlux", "psfFluxErr", "band")
"""Fields of the output's candidate behind those of the packet's."""

STRUCT = b"\x04"
"""Union branch of a stamp with its file name."""

NEUTRAL: Mapping[str, Any] = {"string": "", "int": -999, "long": -999, "double": -999.0}
"""Stands for a field that older packets lack and the output schema doesn't let be null."""

LARGEST_FLOAT = 3.4028234663852886e38


@dataclass(frozen=True, slots=True)
class Layout:
    """A writer schema, and whether bytes can be copied from packets that it wrote."""

    schema: Any
    copies: bool


class PacketCopier:
    """Cells of the columns that come from the packet, for the few packets that are emitted.

    `candidate_schema`: that of the output; `form` of the stamps: none, bytes or struct.
    """

    def __init__(self, candidate_schema: Any, form: str) -> None:
        self._candidate, self._form = candidate_schema, form
        self._layouts: dict[bytes, Layout] = {}

    def columns(self, packets: PacketBatch, rows: Integers) -> dict[str, Cells]:
        """`candidate` and COPIED of these packets."""
        copied = [self._copied(packets, row) for row in rows.tolist()]
        columns = {name: [cells[name] for cells in copied] for name in COPIED}
        brightness = flux(packets.magpsf[rows])
        added = zip(
            (cells["candidate"] for cells in copied),
            doubles(signed(brightness, packets.positive[rows])),
            doubles(brightness * packets.sigmapsf[rows] / MAGNITUDE_ERROR),
            bands(packets.band[rows]),
            strict=True,
        )
        return {**columns, "candidate": [b"".join(parts) for parts in added]}

    def _copied(self, packets: PacketBatch, row: int) -> dict[str, bytes]:
        """The cells of one packet; `candidate` still without the added fields."""
        layout = self._layout(packets.schemas[packets.schema[row]])
        if layout.copies and packets.spans["candidate"][row, 0] >= 0:
            return self._spans(packets, row)
        return self._transcoded(layout.schema, packets, row)

    def _spans(self, packets: PacketBatch, row: int) -> dict[str, bytes]:
        block, start = packets.blocks[row], int(packets.body[row, 0])
        cells = {}
        for name in ("schemavsn", "publisher"):
            length, at = read_long(block, start)
            cells[name], start = block[start : at + length], at + length
        first, last = packets.spans["candidate"][row].tolist()
        cells["candidate"] = block[first:last]
        first, last = packets.spans["cdsxmatch"][row].tolist()
        cells["cdsxmatch"] = NULL if first < 0 else VALUE + block[first:last]
        for name in CUTOUTS:
            first, last = packets.spans[name][row].tolist()
            cells[name] = NULL if first < 0 else self._stamp(block, first, last)
        return cells

    def _stamp(self, block: bytes, first: int, last: int) -> bytes:
        if self._form == "none":
            return NULL
        if self._form == "struct":
            return STRUCT + block[first:last]
        length, at = read_long(block, first)
        return VALUE + block[at + length : last]

    def _transcoded(self, schema: Any, packets: PacketBatch, row: int) -> dict[str, bytes]:
        """The same from a packet of another layout, decoded whole."""
        start, stop = packets.body[row].tolist()
        stream = io.BytesIO(packets.blocks[row][start:stop])
        record: Any = fastavro.schemaless_reader(stream, schema, None)
        match = _fitting(record.get("cdsxmatch"), ["null", "string"])
        cells = {
            "schemavsn": string(_fitting(record.get("schemavsn"), "string")),
            "publisher": string(_fitting(record.get("publisher"), "string")),
            "cdsxmatch": NULL if match is None else VALUE + string(match),
        }
        for name in CUTOUTS:
            cells[name] = self._written(record.get(name))
        out = io.BytesIO()
        fastavro.schemaless_writer(out, self._candidate, self._fields(record, packets, row))
        written = out.getvalue()
        cells["candidate"] = written[: -len(_PLACEHOLDER)]
        return cells

    def _written(self, stamp: Any) -> bytes:
        """The cell of a stamp; null for anything that is none."""
        if not isinstance(stamp, dict) or not isinstance(stamp.get("stampData"), bytes):
            return NULL
        name = string(_fitting(stamp.get("fileName"), "string"))
        data = _data(stamp["stampData"])
        return self._stamp(name + data, 0, len(name) + len(data))

    def _fields(self, record: Fields, packets: PacketBatch, row: int) -> Fields:
        """The candidate in the output's layout; missing fields are null or neutral."""
        source = record["candidate"]
        result = {
            field["name"]: _fitting(source.get(field["name"]), field["type"])
            for field in self._candidate["fields"]
        }
        result["candid"] = int(packets.candid[row])
        result["isdiffpos"] = str(source["isdiffpos"])
        return {**result, "psfFlux": 0.0, "psfFluxErr": 0.0, "band": ""}

    def _layout(self, text: bytes) -> Layout:
        if text not in self._layouts:
            schema = parse_schema(text)
            self._layouts[text] = Layout(schema, self._copies(schema))
        return self._layouts[text]

    def _copies(self, schema: Any) -> bool:
        """Whether the candidate's fields are the output's, and the rest lies as ZTF lays it."""
        fields = [(field["name"], field["type"]) for field in schema["fields"]]
        types = dict(fields)
        candidate, wanted = types.get("candidate"), self._candidate["fields"][: -len(ADDED)]
        stamps = [_branch(types.get(name)) for name in CUTOUTS]
        return (
            [name for name, kind in fields[:2] if kind == "string"] == ["schemavsn", "publisher"]
            and isinstance(candidate, dict)
            and [(f["name"], f["type"]) for f in candidate["fields"]]
            == [(f["name"], f["type"]) for f in wanted]
            and _branch(types.get("cdsxmatch", "string")) == "string"
            and _is_stamp(stamps[0])
            and all(_is_stamp(stamp) or stamp == stamps[0]["name"] for stamp in stamps[1:])
        )


_PLACEHOLDER = bytes(8 + 8 + 1)
"""What the added fields take in a candidate that was written without them."""


def _fitting(value: Any, kind: Any) -> Any:
    """A packet's value where the output's type can hold it, else null or the neutral value.

    Fields that the survey mapping does not name can be of any type in a stranger's packet.
    """
    if any(_FITS[each](value) for each in (kind if isinstance(kind, list) else [kind])):
        return value
    return None if isinstance(kind, list) else NEUTRAL[kind]


def _is_number(value: Any, largest: float) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= largest  # NaN is not


def _is_integer(value: Any, bits: int) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and -(2**bits) <= value < 2**bits


_FITS: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "int": lambda value: _is_integer(value, 31),
    "long": lambda value: _is_integer(value, 63),
    "float": lambda value: _is_number(value, LARGEST_FLOAT),
    "double": lambda value: _is_number(value, math.inf),
}


def _branch(kind: Any) -> Any:
    """The type itself or the only one beside null."""
    others = [each for each in kind if each != "null"] if isinstance(kind, list) else [kind]
    return others[0] if len(others) == 1 else None


def _is_stamp(kind: Any) -> bool:
    return isinstance(kind, dict) and [
        (field["name"], field["type"]) for field in kind.get("fields", ())
    ] == [("fileName", "string"), ("stampData", "bytes")]


def _data(raw: bytes) -> bytes:
    """Bytes as Avro writes them."""
    return varint(len(raw)) + raw
