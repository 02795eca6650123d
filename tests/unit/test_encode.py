"""Messages against plain fastavro: every field, copied or transcoded, as its columns say."""

import io
import math
import uuid
from dataclasses import replace
from functools import cache
from itertools import pairwise

import fastavro
import numpy as np
import pytest

from models.calibration import PValues
from models.night import plan_night
from models.scorer import Scores
from worker.decode import Decoder
from worker.encode import NAMESPACE, Encoder, read_container
from worker.light_curve import light_curves, merge_points, packed_points
from worker.simulate import simulate_packets
from worker.topics import Topics
from worker.types.judgement import Claims, Emission, Judgement, Provenance, ScoredBatch
from worker.types.light_curves import StoredCurves
from worker.types.records import RecordBatch, TopicPartition
from worker.window import WindowPolicy, cut_windows

CLASSES = ("RRL", "EB", "LPV")
INPUTS = ("skew", "period", "trend", "amplitude")
NOW_MS = 1_764_000_000_123
EPOCH = 2461200.5
PROVENANCE = Provenance("simulated", "m", "1.2.3", "ab" * 32, "group", "0", "0.1.0")
CUTOUTS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")


def received(value):
    return next(fastavro.reader(io.BytesIO(value)))


@cache
def night():
    plan = plan_night(5, 12)
    values = [v for v in simulate_packets(5, plan.objects, plan.planted).packets if len(v) > 1000]
    partitions = [TopicPartition("in", 0), TopicPartition("in", 300)]
    records = RecordBatch(
        partitions=partitions,
        source=np.arange(len(values), dtype=np.int32) % 2,
        offsets=7_000_000_000 + np.arange(len(values)),
        timestamps_ms=np.where(np.arange(len(values)) % 3, NOW_MS, -1),
        values=values,
        keys=[None] * len(values),
        headers=[()] * len(values),
        starts=dict.fromkeys(partitions, 0),
    )
    packets, _ = Decoder().decode(records)
    return records, packets, _curves(packets)


def _curves(packets):
    rows = np.arange(len(packets), dtype=np.int32)
    points, band, owner = packed_points(packets, rows)
    of = np.array(packets.object_id)[owner]
    names = list(dict.fromkeys(packets.object_id))
    cells = [(of == name) & (band == fid) for name in names for fid in (1, 2, 3)]
    pieces = [merge_points(points[use], 512).tobytes() if use.any() else b"" for use in cells]
    curves = light_curves(
        packets, StoredCurves(rows, {name: i for i, name in enumerate(names)}, pieces)
    )
    return replace(curves, late=rows % 2 == 0)


def scored(outcomes=("emitted", "withheld.below", "withheld.repeated", "duplicate"), spans=None):
    """A batch with every kind of null in it; outcomes in turn."""
    records, packets, curves = night()
    if spans is not None:
        packets = replace(packets, spans=spans)
    rows = np.arange(len(packets), dtype=np.int32)
    windows, _ = cut_windows(packets, curves, rows, WindowPolicy(min_points=2))
    count = len(windows)
    rng = np.random.default_rng(1)

    def random(*shape):
        return rng.normal(size=(count, *shape))

    gaps = np.where(np.arange(count) % 2, np.nan, rng.random(count))
    scores = Scores(
        score=random(), s1=random(), s_input=random(),
        nearest=(np.arange(count) % 4 - 1).astype(np.int32),
        second=(np.arange(count) % 3).astype(np.int32),
        distances=random(len(CLASSES)),
        top_inputs=np.tile(np.array([3, 0, 2], dtype=np.int32), (count, 1)),
        top_values=random(3), top_typical=random(3), top_z=random(3),
        neighbours=np.tile(np.array([1, 0], dtype=np.int32), (count, 1)),
        neighbour_distances=random(2),
        embedding=random(4).astype(np.float32),
    )  # fmt: skip
    pvalues = PValues(
        p=gaps, p_class=gaps, p_input=1 - gaps, p_provisional=np.where(np.isnan(gaps), 0.5, np.nan),
        extrapolated=np.arange(count) % 5 == 0, n_cal=np.full(count, 1234, dtype=np.int32),
        calibration_sha256=[None if g else "cd" * 32 for g in np.isnan(gaps).tolist()],
    )  # fmt: skip
    emissions = [[Emission(-5, EPOCH, 1e-4)] * (row % 3) for row in range(count)]
    outcome = [outcomes[row % len(outcomes)] for row in range(count)]
    judgement = Judgement(outcome, (np.arange(count) % 4).astype(np.uint8))
    claims = Claims(np.ones(count, dtype=bool), emissions)
    return ScoredBatch(
        records, packets, curves, windows, scores, pvalues, claims, judgement
    )  # fmt: skip


def encoder(provenance=PROVENANCE, **options):
    settings = {"classes": CLASSES, "input_names": INPUTS, "window": 20, "programids": (1,)}
    return Encoder(Topics("out"), provenance, **{**settings, **options})


def null(value):
    return None if math.isnan(value) else value


def test_a_worker_that_lost_its_gpu_says_so_on_every_score():
    lame = encoder(replace(PROVENANCE, cpu_fallback=True)).scores(scored(), NOW_MS)
    assert all("cpu_fallback" in read_container(message.value)["flags"] for message in lame)
    sound = encoder().scores(scored(), NOW_MS)
    assert not any("cpu_fallback" in read_container(message.value)["flags"] for message in sound)


def test_slim_scores_say_what_the_columns_say():
    batch = scored()
    rows = [r for r, o in enumerate(batch.judgement.outcome) if o != "duplicate"]
    messages = encoder(test=True).scores(batch, NOW_MS)
    assert len(messages) == len(rows) > 10
    for row, message in zip(rows, messages, strict=True):
        packet = batch.windows.packet[row]
        record = int(batch.packets.record[packet])
        name, candid = batch.packets.object_id[packet], int(batch.packets.candid[packet])
        p = null(batch.pvalues.p[row])
        found = read_container(message.value)
        assert found == {
            "survey": "simulated", "objectId": name, "candid": candid,
            "jd": batch.packets.jd[packet], "ra": batch.packets.ra[packet],
            "dec": batch.packets.dec[packet], "band": " gri"[batch.packets.band[packet]],
            "magpsf": batch.packets.magpsf[packet], "score": batch.scores.score[row],
            "s1": batch.scores.s1[row], "s_input": batch.scores.s_input[row], "p": p,
            "p_input": null(batch.pvalues.p_input[row]),
            "percentile": None if p is None else 100 * (1 - p),
            "nearest_class": [None, *CLASSES][batch.scores.nearest[row] + 1],
            "n_points": batch.windows.n_points[row],
            "magnitude_kind": ["difference", "apparent"][batch.windows.kind[row]],
            "curve_hash": batch.windows.curve_hash[row],
            "p_provisional": null(batch.pvalues.p_provisional[row]),
            "flags": found["flags"], "emissions_90d": row % 3,
            "outcome": batch.judgement.outcome[row].removeprefix("withheld."),
            "calibration_sha256": batch.pvalues.calibration_sha256[row],
            "model": "m", "model_version": "1.2.3", "model_sha256": "ab" * 32,
            "input_topic": "in", "input_partition": 300 * (record % 2),
            "input_offset": 7_000_000_000 + record, "scored_at_ms": NOW_MS,
        }  # fmt: skip
        assert ("uncalibrated" in found["flags"]) == (p is None)
        assert ("late" in found["flags"]) == (packet % 2 == 0)
        assert ("few_points" in found["flags"]) == (batch.windows.n_points[row] < 10)
        assert (message.topic, message.key) == ("out.scores", name.encode())
        headers = dict(message.headers)
        identity = f"{name}/{candid}/{'ab' * 32}"
        assert headers["_id"] == uuid.uuid5(NAMESPACE, identity).bytes
        assert headers["_test"] == b"true"
        assert ("percentile" in headers) == (p is not None)


@pytest.mark.parametrize("form", ["bytes", "none", "struct"])
def test_alerts_carry_the_packet(form):
    batch = scored(("emitted",))
    messages = encoder(cutouts=form, embedding=True).alerts(batch, NOW_MS)
    assert len(messages) == len(batch.windows)
    for row, message in enumerate(messages):
        packet = batch.windows.packet[row]
        found = read_container(message.value)
        sent = received(batch.records.values[batch.packets.record[packet]])
        flux = 1e9 * 10 ** (-0.4 * (sent["candidate"]["magpsf"] - 23.9))
        sign = 1 if sent["candidate"]["isdiffpos"] == "t" else -1
        candidate = found["candidate"]
        assert candidate.pop("band") == " gri"[sent["candidate"]["fid"]]
        assert candidate.pop("psfFlux") == pytest.approx(sign * flux)
        sigma = sent["candidate"]["sigmapsf"]
        assert candidate.pop("psfFluxErr") == pytest.approx(flux * sigma * math.log(10) / 2.5)
        assert candidate == sent["candidate"]
        assert found["publisher"] == sent["publisher"]
        for name in CUTOUTS:
            stamp = sent[name]
            wanted = {"none": None, "bytes": stamp["stampData"], "struct": stamp}[form]
            assert found[name] == wanted
        _check_history(found, sent, batch, packet)
        _check_reasons(found["anomaly"], batch, row)


def _check_history(found, sent, batch, packet):
    start, stop = batch.curves.offsets[packet : packet + 2]
    points = batch.curves.points[start:stop]
    points = points[points["programid"] == 1]
    assert [p["candid"] for p in found["prv_candidates"]] == points["candid"].tolist()
    assert [p["jd"] for p in found["prv_candidates"]] == points["jd"].tolist()
    history = sent["prv_candidates"] or []
    carried = {p["candid"]: p for p in [*history, sent["candidate"]] if p["candid"] is not None}
    for point in found["prv_candidates"]:
        origin = carried.get(point["candid"])
        assert point["ra"] == (origin and origin["ra"])
        assert point["diffmaglim"] == (origin and origin["diffmaglim"])
    limits = [p for p in history if p["candid"] is None and p["programid"] == 1]
    assert [p["diffmaglim"] for p in found["prv_nondetections"]] == [
        p["diffmaglim"] for p in limits
    ]
    assert [p["jd"] for p in found["prv_nondetections"]] == [p["jd"] for p in limits]
    forced = [p for p in sent["fp_hists"] or [] if p["programid"] == 1]
    assert [p["flux"] for p in found["fp_hists"]] == [p["forcediffimflux"] for p in forced]


def _check_reasons(anomaly, batch, row):
    scores, window = batch.scores, batch.windows
    assert anomaly["class_distances"] == dict(zip(CLASSES, scores.distances[row], strict=True))
    assert anomaly["top_inputs"][0] == {
        "name": "amplitude", "value": scores.top_values[row, 0],
        "typical": scores.top_typical[row, 0], "z": scores.top_z[row, 0],
    }  # fmt: skip
    assert [n["class"] for n in anomaly["neighbours"]] == ["EB", "RRL"]
    assert anomaly["emissions"] == [{"candid": -5, "jd": EPOCH, "p": 1e-4}] * (row % 3)
    assert anomaly["embedding"] == scores.embedding[row].tolist()
    assert anomaly["n_points_band"] == dict(
        zip("gri", window.n_points_band[row].tolist(), strict=True)
    )
    jd = window.jd[window.offsets[row] : window.offsets[row + 1]]
    assert anomaly["baseline_days"] == jd[-1] - jd[0]
    assert anomaly["truncated"] == (len(jd) > 20)
    record = batch.packets.record[window.packet[row]]
    assert anomaly["ingested_at_ms"] == (NOW_MS if record % 3 else None)
    assert anomaly["emitted_by"] == ["none", "score", "input", "both"][row % 4]


def without_spans():
    """As from a decoder that found no bytes to copy."""
    absent = np.full((len(night()[1]), 2), -1)
    return dict.fromkeys(("candidate", "cdsxmatch", *CUTOUTS), absent)


@pytest.mark.parametrize("form", ["bytes", "none", "struct"])
def test_copied_bytes_equal_transcoded_ones(form):
    batch = scored(("emitted",))
    assert (batch.packets.spans["candidate"] >= 0).all()
    copied = encoder(cutouts=form).alerts(batch, NOW_MS)
    transcoded = encoder(cutouts=form).alerts(scored(("emitted",), without_spans()), NOW_MS)
    assert [m.value for m in copied] == [m.value for m in transcoded]


def test_an_alert_beyond_the_limit_goes_without_stamps():
    batch = scored(("emitted",))
    sizes = [len(m.value) for m in encoder().alerts(batch, NOW_MS)]
    limit = sorted(sizes)[len(sizes) // 2]
    messages = encoder(limits={"out": limit}).alerts(batch, NOW_MS)
    slim = [read_container(m.value)["cutoutScience"] is None for m in messages]
    assert any(slim)
    assert all(len(message.value) < limit for message in messages)


def test_a_senseless_limit_of_a_real_packet_has_no_flux():
    batch = scored(("emitted",))
    table = batch.packets.non_detections
    strange = replace(table, diffmaglim=np.full(len(table.jd), -1006.94))
    batch = replace(batch, packets=replace(batch.packets, non_detections=strange))
    points = [
        point
        for message in encoder().alerts(batch, NOW_MS)
        for point in read_container(message.value)["prv_nondetections"]
    ]
    assert points
    assert {point["psfFluxErr"] for point in points} == {None}


def test_no_window_no_message():
    _, packets, curves = night()
    nothing, _ = cut_windows(packets, curves, np.empty(0, np.int32), WindowPolicy())
    batch = replace(scored(), windows=nothing, judgement=Judgement([], np.empty(0, np.uint8)))
    assert encoder().scores(batch, NOW_MS) == encoder().alerts(batch, NOW_MS) == []


def test_points_of_an_alert_go_by_time():
    for message in encoder().alerts(scored(("emitted",)), NOW_MS):
        jds = [point["jd"] for point in read_container(message.value)["prv_candidates"]]
        assert all(a <= b for a, b in pairwise(jds))
