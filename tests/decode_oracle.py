"""What the decoder's columns must hold, from what fastavro reads in the same bytes."""

import io
import math

import fastavro
import numpy as np

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
