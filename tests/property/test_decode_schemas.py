"""Schemas and records that nobody has written yet, against fastavro."""

import io
import json

import fastavro
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.avro_packets import batch, container, record_type
from tests.decode_oracle import assert_equals_fastavro
from worker.decode import Decoder
from worker.decode.mapping import MAX_VALUES
from worker.decode.ops import LEVEL_CELLS, walk
from worker.decode.program import Program
from worker.decode.schema import parse_schema
from worker.errors import InvalidPacketError

INTS, LONGS = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
PRIMITIVES = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": INTS,
    "long": LONGS,
    "float": st.floats(width=32),
    "double": st.floats(),
    "string": st.text(max_size=8),
    "bytes": st.binary(max_size=8),
}
NAMES = st.uuids().map(lambda uuid: f"t{uuid.hex}")


@st.composite
def types(draw, depth=2):
    """A type, and a strategy for its values."""
    kinds = [primitive, primitive, nullable, enum, fixed]
    kinds += [array, mapping, record, union] if depth else []
    return draw(draw(st.sampled_from(kinds))(depth - 1))


@st.composite
def primitive(draw, _depth):
    name = draw(st.sampled_from(sorted(PRIMITIVES)))
    return name, PRIMITIVES[name]


@st.composite
def nullable(draw, _depth):
    name = draw(st.sampled_from(sorted(set(PRIMITIVES) - {"null"})))
    return draw(st.permutations(["null", name])), st.none() | PRIMITIVES[name]


@st.composite
def enum(draw, _depth):
    symbols = [f"s{i}" for i in range(draw(st.integers(1, 70)))]
    schema = {"type": "enum", "name": draw(NAMES), "symbols": symbols}
    return schema, st.sampled_from(symbols)


@st.composite
def fixed(draw, _depth):
    size = draw(st.integers(0, 9))
    schema = {"type": "fixed", "name": draw(NAMES), "size": size}
    return schema, st.binary(min_size=size, max_size=size)


@st.composite
def array(draw, depth):
    inner, values = draw(types(depth))
    return {"type": "array", "items": inner}, st.lists(values, max_size=3)


@st.composite
def mapping(draw, depth):
    inner, values = draw(types(depth))
    return {"type": "map", "values": inner}, st.dictionaries(
        st.text(max_size=4), values, max_size=3
    )


@st.composite
def union(draw, depth):
    inner, values = draw(record(depth))
    return ["null", "long", inner], st.one_of(st.none(), LONGS, values)


@st.composite
def record(draw, depth):
    """A record; its last field may use the type of an earlier one by name."""
    pairs = draw(st.lists(types(depth), min_size=1, max_size=4))
    named = [(t["name"], v) for t, v in pairs if isinstance(t, dict) and "name" in t]
    pairs += named[: draw(st.integers(0, 1))]
    fields = [(f"f{i}", inner) for i, (inner, _) in enumerate(pairs)]
    values = st.fixed_dictionaries({f"f{i}": v for i, (_, v) in enumerate(pairs)})
    return record_type(draw(NAMES), fields), values


def encode(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def accepted(schema):
    """The schema, checked; arrays of items that may be empty are another test's matter."""
    try:
        return parse_schema(json.dumps(schema).encode())
    except InvalidPacketError as error:
        assume("without size" not in str(error))
        raise


def walked(code, body):
    """How far a program walks; an error is negative."""
    buffer = np.frombuffer(body + b"\xff" * 16, np.uint8)
    start = buffer.ctypes.data
    nothing, levels = np.empty((0, 2), np.int64), np.empty(LEVEL_CELLS, np.int64)
    end = walk(start, start + len(body), code.ctypes.data, nothing, levels, MAX_VALUES)
    return end - start if end >= 0 else end


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=record(2))
def test_a_program_walks_exactly_over_any_record(data, kind):
    schema, values = kind
    code = Program(accepted(schema)).code
    for _ in range(3):
        body = encode(schema, data.draw(values))
        assert walked(code, body) == len(body)
        assert walked(code, body + b"\x02") == len(body)
        if body:
            cut = data.draw(st.integers(0, len(body) - 1))
            assert walked(code, body[:cut]) < 0


# --- packets ------------------------------------------------------------------------------

JD = st.floats(2_450_000, 2_470_000)
REQUIRED = {
    "jd": JD,
    "fid": st.integers(1, 3),
    "programid": st.integers(0, 255),
    "isdiffpos": st.sampled_from(["t", "f", "1", "0"]),
    "magpsf": st.floats(10, 25, width=32),
    "sigmapsf": st.floats(0, 1, width=32),
    "ra": st.floats(0, 360),
    "dec": st.floats(-90, 90),
}
KINDS = {"jd": ["double"], "fid": ["int", "long"], "programid": ["int", "long"],
         "isdiffpos": ["string"], "ra": ["double"], "dec": ["double"]}  # fmt: skip
OPTIONAL = ("diffmaglim", "magnr", "sigmagnr", "distnr", "rb", "drb", "ssdistnr", "distpsnr1",
            "sgscore1", "chinr", "sharpnr")  # fmt: skip
NUMBERS = {
    "float": st.floats(width=32, allow_infinity=False) | st.just(-999.0),
    "double": st.floats(allow_infinity=False) | st.just(-999.0),
    "int": INTS | st.just(-999),
    "long": st.integers(-(2**53), 2**53) | st.just(-999),
}
CANDIDS = st.integers(-(2**63) + 1, 2**63 - 1)


@st.composite
def field(draw, name, values, kinds, may_be_null):
    """A field of any of these types, as a union in any order or plain."""
    kind = draw(st.sampled_from(kinds))
    values = values[kind] if isinstance(values, dict) else values
    shape = draw(st.sampled_from(["plain", "null first", "null last"]))
    if shape == "plain":
        return name, kind, values
    branches = ["null", kind] if shape == "null first" else [kind, "null"]
    return name, branches, st.none() | values if may_be_null else values


@st.composite
def rows(draw, required, optional, extra, name):
    """A record type with mapped and other fields in any order, and its values."""
    fields = [
        draw(field(n, REQUIRED[n], KINDS.get(n, ["float", "double"]), may_be_null=False))
        for n in required
    ]
    chosen = draw(st.lists(st.sampled_from(optional), unique=True, max_size=6))
    fields += [draw(field(n, NUMBERS, sorted(NUMBERS), may_be_null=True)) for n in chosen]
    others = draw(st.lists(types(1), max_size=4))
    fields += [(f"other{i}", *other) for i, other in enumerate(others)]
    fields = draw(st.permutations([*fields, *extra]))
    values = st.fixed_dictionaries({n: v for n, _, v in fields})
    return record_type(name, [(n, kind) for n, kind, _ in fields]), values


@st.composite
def packets(draw):
    """A packet's schema, and a strategy for packets."""
    candid = draw(field("candid", CANDIDS, ["long"], may_be_null=False))
    point_candid = draw(field("candid", CANDIDS, ["long"], may_be_null=True))
    inside = draw(st.booleans())
    own, own_values = draw(rows(REQUIRED, OPTIONAL, [candid] if inside else [], "candidate"))
    point, point_values = draw(rows(REQUIRED, OPTIONAL, [point_candid], "point"))
    flux = [draw(field(n, NUMBERS["float"] | st.just(-99999.0), ["float"], may_be_null=True))
            for n in ("forcediffimflux", "forcediffimfluxunc")]  # fmt: skip
    forced, forced_values = draw(
        rows(("jd", "fid", "programid"), ("diffmaglim", "magzpsci"), flux, "forced")
    )
    fields = [("objectId", "string", st.just("ZTF18abcdefg")), ("candidate", own, own_values)]
    fields += [] if inside else [candid]
    fields += [
        (name, draw(st.permutations(["null", {"type": "array", "items": items}])),
         st.none() | st.lists(values, max_size=4))
        for name, items, values in (("prv_candidates", point, point_values),
                                    ("fp_hists", forced, forced_values))
    ]  # fmt: skip
    fields += [(f"more{i}", *kind) for i, kind in enumerate(draw(st.lists(types(1), max_size=3)))]
    fields = draw(st.permutations(fields))
    values = st.fixed_dictionaries({n: v for n, _, v in fields})
    return record_type("alert", [(n, kind) for n, kind, _ in fields]), values


@settings(max_examples=40, deadline=None)
@given(data=st.data(), kind=packets())
def test_any_packet_equals_fastavro(data, kind):
    schema, values = kind
    accepted(schema)
    bodies = [
        encode(schema, value) for value in data.draw(st.lists(values, min_size=1, max_size=3))
    ]
    records = batch(*(container(schema, body) for body in bodies), container(schema, *bodies))
    decoder = Decoder(single_record=False)
    for _ in range(2):  # first by the slow way in, then by the quick one
        found, dead = decoder.decode(records)
        assert dead == []
        assert_equals_fastavro(found, records)
        assert all(entry.mapped for entry in decoder._library.entries)
