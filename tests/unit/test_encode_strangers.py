"""Packets of strange layouts: what is copied from them must never stop the worker."""

import copy
import io
import json

import fastavro
import numpy as np
import pytest

from models.night import plan_night
from worker.decode import Decoder
from worker.decode.files import record_batches
from worker.encode.avro import ContainerWriter
from worker.encode.packet import CUTOUTS, PacketCopier
from worker.simulate import simulate_packets


@pytest.fixture(scope="module")
def plain():
    """A simulated packet and its writer schema."""
    plan = plan_night(1, 20)
    value = simulate_packets(1, plan.objects, plan.planted).packets[0]
    reader = fastavro.reader(io.BytesIO(value))
    return next(reader), json.loads(reader.metadata["avro.schema"])


def written(record, schema):
    out = io.BytesIO()
    fastavro.writer(out, schema, [record])
    return out.getvalue()


def retyped(plain, changes):
    """The packet with other types and values in some fields of its candidate or itself."""
    record, schema = copy.deepcopy(plain)
    tables = {field["name"]: field for field in schema["fields"]}
    inner = tables["candidate"]["type"]
    tables |= {field["name"]: field for field in inner["fields"]}
    for name, (kind, value) in changes.items():
        tables[name].update(type=kind)
        tables[name].pop("default", None)
        place = record["candidate"] if name in record["candidate"] else record
        place[name] = value
    return written(record, schema)


def copied(value, form="bytes"):
    fields = {f["name"]: f["type"] for f in ContainerWriter("anomaly").schema["fields"]}
    (records,) = record_batches("strange", [value])
    packets, dead = Decoder().decode(records)
    assert dead == []
    cells = PacketCopier(fields["candidate"], form).columns(packets, np.array([0]))
    read = fastavro.schemaless_reader(io.BytesIO(cells["candidate"][0]), fields["candidate"], None)
    return cells, read


@pytest.mark.parametrize(
    ("name", "kind", "value", "expected"),
    [
        ("pid", "string", "a number?", -999),
        ("field", {"type": "array", "items": "int"}, [1, 2], None),
        ("rcid", "long", 2**40, None),
        ("chipsf", "double", 1e300, None),
        ("nid", "boolean", True, None),
        ("ssnamenr", "bytes", b"\xff", None),
        ("pdiffimfilename", "int", 3, None),
    ],
)
def test_a_field_of_another_type_is_null_or_neutral(plain, name, kind, value, expected):
    _, candidate = copied(retyped(plain, {name: (kind, value)}))
    kept = plain[0]["candidate"]
    assert candidate[name] in {expected, -999.0, ""}
    assert candidate["jd"] == kept["jd"]
    assert candidate["magpsf"] == pytest.approx(kept["magpsf"])


@pytest.mark.parametrize("form", ["none", "bytes", "struct"])
def test_stamps_that_are_none_are_null(plain, form):
    changes = dict.fromkeys(CUTOUTS, ("string", "no stamp"))
    cells, _ = copied(retyped(plain, {**changes, "publisher": ("int", 7)}), form)
    assert all(cells[name] == [b"\x00"] for name in CUTOUTS)
    assert cells["publisher"] == [b"\x00"]
