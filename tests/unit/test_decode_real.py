"""Every real packet, field by field and bit by bit, against fastavro."""

import io
import math
from pathlib import Path

import fastavro
import numpy as np
import pytest

from worker.decode import Decoder
from worker.decode.files import read_files

ALERTS = Path("../shared/data/alerts")

pytestmark = pytest.mark.skipif(not ALERTS.is_dir(), reason="the shared alerts are not here")

CANDIDATE = ("diffmaglim", "magnr", "sigmagnr", "distnr", "rb", "drb", "ssdistnr", "distpsnr1",
             "sgscore1", "chinr", "sharpnr")  # fmt: skip
DETECTION = ("magpsf", "sigmapsf", "magnr", "sigmagnr", "distnr", "rb", "ssdistnr", "diffmaglim",
             "ra", "dec")  # fmt: skip
WITH_SENTINEL = {"magnr", "sigmagnr", "distnr", "ssdistnr", "distpsnr1", "sgscore1", "chinr",
                 "sharpnr", "diffmaglim", "magzpsci"}  # fmt: skip


def number(record, name):
    value = record.get(name)
    if value is None or (name in WITH_SENTINEL and value == -999):
        return math.nan
    if name.startswith("forcediff") and value == -99999:
        return math.nan
    return float(value)


def positive(record):
    return {"t": True, "1": True, "f": False, "0": False}[record["isdiffpos"]]


def common(point):
    return {"jd": point["jd"], "band": point["fid"], "programid": point["programid"]}


def detection(point):
    values = {name: number(point, name) for name in DETECTION}
    return {**common(point), "candid": point["candid"], "positive": positive(point), **values}


def limit(point):
    return {**common(point), "diffmaglim": number(point, "diffmaglim")}


def forced(point):
    return {
        **common(point),
        "flux": number(point, "forcediffimflux"),
        "flux_err": number(point, "forcediffimfluxunc"),
        "magzpsci": number(point, "magzpsci"),
        "diffmaglim": number(point, "diffmaglim"),
    }


def expected_packet(record):
    candidate = record["candidate"]
    own = {**detection({**candidate, "candid": record.get("candid", candidate.get("candid"))})}
    own.update({name: number(candidate, name) for name in CANDIDATE})
    history = record.get("prv_candidates") or []
    is_forced = [p for p in history if "forcediffimflux" in p]
    points = [p for p in history if "forcediffimflux" not in p]
    return {
        "own": own,
        "detections": [detection(p) for p in points if p["candid"] is not None],
        "non_detections": [limit(p) for p in points if p["candid"] is None],
        "forced": [forced(p) for p in [*is_forced, *(record.get("fp_hists") or [])]],
    }


def bits(values):
    """Floats as their bits, every NaN alike, so that equal means equal to the last bit."""
    array = np.asarray(values)
    if array.dtype.kind != "f":
        return array.tolist()
    return np.where(np.isnan(array), np.nan, array).astype("<f8").view("<i8").tolist()


def assert_points(table, packet, points):
    rows = np.flatnonzero(table.packet == packet)
    assert len(rows) == len(points)
    for name in points[0] if points else ():
        found = getattr(table, name)[rows]
        wanted = np.array([point[name] for point in points], dtype=found.dtype)
        assert bits(found) == bits(wanted), name


def assert_equals_fastavro(packets, records):
    """Every column of every packet equals what fastavro reads in the same bytes."""
    readers = {r: list(fastavro.reader(io.BytesIO(records.values[r]))) for r in set(packets.record)}
    assert sum(map(len, readers.values())) == len(packets)
    for row, record in enumerate(packets.record.tolist()):
        whole = readers[record].pop(0)
        wanted = expected_packet(whole)
        assert packets.object_id[row] == whole["objectId"]
        for name, value in wanted.pop("own").items():
            column = getattr(packets, name)
            assert bits(column[row : row + 1]) == bits(np.array([value], column.dtype)), name
        for name, points in wanted.items():
            assert_points(getattr(packets, name), row, points)


def folder(name):
    return sorted(p for p in (ALERTS / name).iterdir() if p.suffix == ".avro")


@pytest.mark.parametrize("name", ["ztf", "ztf_rebuilt", "ztf_redelivered", "ztf_variants"])
def test_every_real_packet_equals_fastavro(name):
    decoder = Decoder(single_record=False)
    count = 0
    for records in read_files(folder(name)):
        packets, dead = decoder.decode(records)
        assert dead == []
        assert_equals_fastavro(packets, records)
        count += len(packets)
    assert count >= len(folder(name))


def test_body_spans_hold_exactly_the_record():
    decoder = Decoder(single_record=False)
    for records in read_files(folder("ztf")[::20] + folder("ztf_variants")):
        packets, _ = decoder.decode(records)
        readers = {}
        for row, record in enumerate(packets.record.tolist()):
            reader = readers.setdefault(record, fastavro.reader(io.BytesIO(records.values[record])))
            start, stop = packets.body[row].tolist()
            body = io.BytesIO(packets.blocks[row][start:stop])
            schema = fastavro.parse_schema(reader.writer_schema, _ignore_default_error=True)
            decoded = fastavro.schemaless_reader(body, schema, None)
            assert repr(decoded) == repr(next(reader))
            assert body.read() == b""


def test_packets_of_other_surveys_are_refused_by_rule():
    for name, count in (("other", 35), ("ztf_malformed", 3)):
        files = folder(name)
        dead = []
        for records in read_files(files):
            packets, letters = Decoder().decode(records)
            assert len(packets) == 0
            dead += letters
        assert len(dead) == len(files) == count
        assert {d.reason for d in dead} <= {"schema_refused", "invalid_value", "truncated"}
