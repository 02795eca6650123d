"""Simulated packets: the layout, the curves they carry, the odd records among them."""

import gzip
import io
import json
from pathlib import Path

import fastavro
import numpy as np
import pytest

from models.night import plan_night
from models.simulate import BANDS
from worker.cuts import Cuts, judge_packets
from worker.decode import Decoder
from worker.light_curve import light_curves, merge_points, packed_points
from worker.simulate import SimulatedNight, scattered_letters, simulate_packets
from worker.simulate.packet import HISTORY_DAYS
from worker.simulate.schema import packet_schema
from worker.types.light_curves import StoredCurves
from worker.types.records import RecordBatch, TopicPartition
from worker.types.windows import MagnitudeKind
from worker.window import WindowPolicy, cut_windows

SEED = 11
ZTF_SCHEMA = Path("../shared/data/schemas/ztf_4.02.avsc")


@pytest.fixture(scope="module")
def plan():
    return plan_night(SEED, 40)


@pytest.fixture(scope="module")
def night(plan) -> SimulatedNight:
    return simulate_packets(SEED, plan.objects, plan.planted)


def records(values):
    partition = TopicPartition("simulated", 0)
    count = len(values)
    return RecordBatch(
        partitions=[partition],
        source=np.zeros(count, np.int32),
        offsets=np.arange(count),
        timestamps_ms=np.full(count, -1),
        values=values,
        keys=[None] * count,
        headers=[()] * count,
        starts={partition: 0},
    )


def decoded(values):
    return Decoder().decode(records(values))


def avro(value):
    return next(fastavro.reader(io.BytesIO(value)))


def curves_as_of(packets):
    """What the store would answer once all of these packets were merged."""
    rows = np.arange(len(packets), dtype=np.int32)
    points, band, owner = packed_points(packets, rows)
    names = sorted(set(packets.object_id))
    of = np.array([packets.object_id[row] for row in owner.tolist()])
    cells = [(of == name) & (band == fid) for name in names for fid in (1, 2, 3)]
    pieces = [merge_points(points[use], 512).tobytes() if use.any() else b"" for use in cells]
    return light_curves(
        packets, StoredCurves(rows, {name: i for i, name in enumerate(names)}, pieces)
    )


def without_docs(schema):
    if isinstance(schema, dict):
        drop = ("doc", "version", "default")
        return {k: without_docs(v) for k, v in schema.items() if k not in drop}
    return [without_docs(s) for s in schema] if isinstance(schema, list) else schema


@pytest.mark.skipif(not ZTF_SCHEMA.exists(), reason="ZTF's own schema is not here")
def test_layout_is_that_of_ztf():
    assert without_docs(packet_schema()) == without_docs(json.loads(ZTF_SCHEMA.read_text()))


def test_packets_are_readable_by_anybody(night):
    value = avro(night.history[0])
    assert value["schemavsn"] == "4.02"
    assert value["candid"] == value["candidate"]["candid"]
    assert value["cutoutScience"] is None


def test_stamps_are_fits_images(night):
    packet = next(v for v in night.packets if len(v) > 20_000)
    for name in ("cutoutScience", "cutoutTemplate", "cutoutDifference"):
        image = gzip.decompress(avro(packet)[name]["stampData"])
        assert len(image) == 20_160
        assert image.startswith(b"SIMPLE  =                    T")
        pixels = np.frombuffer(image[2880 : 2880 + 63 * 63 * 4], ">f4")
        assert np.isfinite(pixels).all()


def test_same_seed_same_bytes(plan, night):
    again = simulate_packets(SEED, plan_night(SEED, 40).objects, plan.planted)
    assert again == night
    other = simulate_packets(SEED + 1, plan.objects, plan.planted)
    assert other.packets != night.packets
    assert not set(other.object_ids) & set(night.object_ids)


def test_windows_hold_the_simulated_curves(plan, night):
    packets, _ = decoded([*night.history, *night.packets])
    curves = curves_as_of(packets)
    fates = judge_packets(packets, Cuts())
    rows = np.array([i for i, fate in enumerate(fates) if fate is None], np.int32)
    windows, _ = cut_windows(packets, curves, rows, WindowPolicy())
    number = {name: i for i, name in enumerate(night.object_ids)}
    checked = 0
    for row, packet in enumerate(windows.packet.tolist()):
        found = plan.objects[number[packets.object_id[packet]]]
        part = slice(windows.offsets[row], windows.offsets[row + 1])
        use = found.scored(int(packets.band[packet])) & (found.jd <= packets.jd[packet])
        at = np.searchsorted(found.jd, windows.jd[part])
        assert use[at].all()
        assert use.sum() - len(at) <= 2 + 0.05 * use.sum()  # those of poor real-bogus score
        np.testing.assert_allclose(windows.mag[part], found.mag[at], atol=2e-5)
        np.testing.assert_allclose(windows.err[part], found.err[at], rtol=1e-3, atol=1e-5)
        apparent = windows.kind[row] == MagnitudeKind.APPARENT
        assert apparent == (found.reference is not None)
        checked += packets.jd[packet] > found.jd[-1] - 0.5
    assert checked > 40


def test_history_carries_every_earlier_detection(plan, night):
    packets, _ = decoded([*night.history, *night.packets])
    points, _, owner = packed_points(packets, np.arange(len(packets), dtype=np.int32))
    for number in plan.planted:
        mine = np.array([packets.object_id[i] == night.object_ids[number] for i in owner.tolist()])
        found = plan.objects[number]
        assert set(points["jd"][mine]) == set(found.jd[found.detected])


def test_history_is_that_of_thirty_days(night):
    for value in map(avro, night.history[:40]):
        jd = [point["jd"] for point in value["prv_candidates"] or ()]
        assert all(0 < value["candidate"]["jd"] - t <= HISTORY_DAYS for t in jd)
        assert jd == sorted(jd)


def test_candids_are_unique(night):
    packets, _ = decoded(list(dict.fromkeys([*night.history, *night.packets])))
    assert len(set(packets.candid.tolist())) == len(packets)
    carried = packets.detections
    jds = {}
    for candid, jd in zip(carried.candid.tolist(), carried.jd.tolist(), strict=True):
        assert jds.setdefault(candid, jd) == jd


def test_a_night_brings_odd_records(plan, night):
    packets, dead = decoded(list(night.packets))
    assert len(dead) == 4
    assert {letter.reason for letter in dead} >= {"not_avro", "truncated"}
    fates = judge_packets(packets, Cuts())
    assert "skipped.solar_system" in fates
    assert len(night.packets) - len(set(night.packets)) == 5
    planted = {night.object_ids[row] for row in plan.planted}
    assert all(
        fate in {None, "skipped.saturated"}
        for name, fate in zip(packets.object_id, fates, strict=True)
        if name in planted
    )


def test_some_objects_are_not_public_in_a_large_night():
    plan = plan_night(5, 200)
    packets, _ = decoded(list(simulate_packets(5, plan.objects).packets))
    fates = judge_packets(packets, Cuts())
    assert {"skipped.non_public", "skipped.real_bogus"} <= set(fates)


def test_names_are_unique():
    assert len({scattered_letters(number, 3) for number in range(20_000)}) == 20_000


def test_an_empty_night_is_refused():
    with pytest.raises(ValueError, match="at least one object"):
        simulate_packets(1, [])


def test_bands_of_the_packets(night):
    packets, _ = decoded(list(night.packets))
    assert set(packets.band.tolist()) == set(BANDS)
