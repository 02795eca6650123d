"""Schemas that the compiler refuses go through fastavro, by the same rules."""

import numpy as np

from tests.avro_packets import (
    CANDIDATE,
    PHOTOMETRY,
    POSITION,
    batch,
    container,
    encode,
    packet,
    record_type,
)
from worker.decode import Decoder
from worker.types.packets import Detections, ForcedPoints, NonDetections

ODD = {"name": "rb", "type": ["null", "float", "string"]}
"""rb may be a string here: no column can hold one."""

PLAIN = {"name": "rb", "type": ["null", "float"]}

STAMP = record_type("stamp", [("fileName", "string"), ("stampData", "bytes")])


def schema(rb):
    candidate = record_type("candidate", [*PHOTOMETRY, rb, *POSITION])
    point = record_type(
        "point",
        [*[(n, ["null", t]) for n, t in PHOTOMETRY], ("candid", ["null", "long"]),
         ("diffmaglim", "float"), rb],
    )  # fmt: skip
    forced = record_type(
        "forced",
        [("jd", "double"), ("fid", "int"), ("programid", "int"), ("forcediffimflux", "float")],
    )
    return record_type(
        "alert",
        [("objectId", "string"), ("candid", "long"), ("candidate", candidate),
         ("prv_candidates", {"type": "array", "items": point}),
         ("fp_hists", ["null", {"type": "array", "items": forced}]),
         ("cutoutScience", ["null", STAMP]), ("cutoutTemplate", ["null", "stamp"])],
    )  # fmt: skip


def night(**changes):
    """A packet with one detection, one limit and two forced points."""
    epoch = {"jd": 2459999.5, "fid": 2, "programid": 3}
    return packet(
        candidate={**CANDIDATE, "rb": 0.75},
        prv_candidates=[
            {**CANDIDATE, "candid": -(2**62), "diffmaglim": 20.5, "rb": None},
            {**epoch, "diffmaglim": -999.0},
        ],
        fp_hists=[{**epoch, "forcediffimflux": -99999.0}, {**epoch, "forcediffimflux": -5.5}],
        cutoutScience={"fileName": "a.fits", "stampData": b"pixels"},
        **changes,
    )


def columns(packets):
    tables = [(packets.detections, Detections), (packets.non_detections, NonDetections),
              (packets.forced, ForcedPoints)]  # fmt: skip
    found = {f"{kind.__name__}.{name}": getattr(table, name)
             for table, kind in tables for name in kind.__slots__}  # fmt: skip
    for name in ("candid", "jd", "band", "programid", "positive", "magpsf", "rb", "drb", "record"):
        found[name] = getattr(packets, name)
    return found


def test_fastavro_and_the_kernel_agree():
    odd, plain = (container(schema(rb), encode(schema(rb), night())) for rb in (ODD, PLAIN))
    decoder = Decoder()
    packets, dead = decoder.decode(batch(odd, plain, odd))
    assert dead == []
    assert sorted(entry.mapped for entry in decoder._library.entries) == [False, True]
    assert packets.record.tolist() == [0, 1, 2]
    assert packets.object_id == ["ZTF18aaaaaaa"] * 3
    for name, column in columns(packets).items():
        by_packet = np.split(column, 3)
        if name.endswith((".packet", "record")):
            assert [set(part.tolist()) for part in by_packet] == [{0}, {1}, {2}]
            continue
        for part in by_packet:
            np.testing.assert_array_equal(part, by_packet[1], err_msg=name)
            assert part.dtype == by_packet[1].dtype
    spans = packets.spans["cutoutScience"].tolist()
    assert [packets.blocks[row][a:b] for row, (a, b) in enumerate(spans)] == [
        b"\x0ca.fits\x0cpixels"
    ] * 3
    assert (packets.spans["cutoutTemplate"] == -1).all()
    for row, (first, last) in enumerate(packets.body.tolist()):
        written = encode(schema(PLAIN if row == 1 else ODD), night())
        assert packets.blocks[row][first:last] == written


def test_the_same_rules_hold():
    odd = schema(ODD)
    changes = [
        ({"candidate": {**CANDIDATE, "rb": "high"}}, "invalid_value"),
        ({"candidate": {**CANDIDATE, "rb": float("inf")}}, "invalid_value"),
        ({"candidate": {**CANDIDATE, "jd": float("nan")}}, "invalid_value"),
        ({"candidate": {**CANDIDATE, "isdiffpos": "yes"}}, "invalid_value"),
        ({"objectId": ""}, "invalid_value"),
        ({"prv_candidates": [{"diffmaglim": 1.0}]}, "invalid_value"),
        ({"prv_candidates": [{**CANDIDATE, "diffmaglim": 1.0}] * 5001}, "too_many_points"),
    ]
    values = [container(odd, encode(odd, {**night(), **change})) for change, _ in changes]
    packets, dead = Decoder().decode(batch(*values))
    assert len(packets) == 0
    assert [letter.reason for letter in dead] == [reason for _, reason in changes]


def test_a_record_of_several_packets_is_refused_as_a_whole():
    odd = schema(ODD)
    good, bad = encode(odd, night()), encode(odd, {**night(), "objectId": "\n"})
    values = (container(odd, good, bad), container(odd, good, good))
    packets, (letter,) = Decoder(single_record=False).decode(batch(*values))
    assert letter.record == 0
    assert packets.record.tolist() == [1, 1]


def test_cut_bytes_never_reach_fastavro():
    odd = schema(ODD)
    body = encode(odd, night())
    values = [container(odd, body[:cut]) for cut in range(len(body))]
    packets, dead = Decoder().decode(batch(*values))
    assert len(packets) == 0
    assert [letter.reason for letter in dead] == ["truncated"] * len(body)
