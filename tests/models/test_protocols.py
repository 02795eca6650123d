"""The protocols' cuts and lists, the measures, and the isolation forest."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.evaluate import check_admissible, default_test
from models.metrics import auroc, average_precision, macro_f1, recall_at, true_positives_at
from models.protocols import (
    NAMES,
    ProtocolError,
    around_brightest,
    first_points,
    load_protocol,
    matched,
    select,
)
from models.simulate import simulate_curves

PROTOCOLS = Path(__file__).parents[3] / "shared/data/lightcurves/protocols.json"
needs_protocols = pytest.mark.skipif(not PROTOCOLS.is_file(), reason="protocols are not here")


@pytest.fixture(scope="module")
def curves():
    return simulate_curves(1, 80)


def test_first_points(curves):
    n = np.diff(curves.offsets)
    cut = first_points(curves, 20)
    np.testing.assert_array_equal(np.diff(cut.offsets), np.minimum(n, 20))
    for row in range(0, 80, 9):
        a, b = curves.offsets[row], cut.offsets[row]
        length = min(n[row], 20)
        np.testing.assert_array_equal(cut.mag[b : b + length], curves.mag[a : a + length])


def test_around_brightest_holds_the_brightest(curves):
    cut = around_brightest(curves)
    n = np.diff(curves.offsets)
    np.testing.assert_array_equal(np.diff(cut.offsets), np.minimum(n, 100))
    for row in range(80):
        whole = curves.mag[curves.offsets[row] : curves.offsets[row + 1]]
        part = cut.mag[cut.offsets[row] : cut.offsets[row + 1]]
        start = int(np.clip(np.argmin(whole) - 70, 0, max(len(whole) - 100, 0)))
        np.testing.assert_array_equal(part, whole[start : start + 100])


def test_matched_curves_are_shorter_and_repeatable(curves):
    reference = simulate_curves(2, 30, ("SN",))
    cut, again = (matched(curves, reference) for _ in range(2))
    assert (np.diff(cut.offsets) <= np.diff(curves.offsets)).all()
    assert np.diff(cut.offsets).min() >= 1
    np.testing.assert_array_equal(cut.time, again.time)


def test_selecting_a_missing_curve_is_refused(curves):
    pairs = [(str(curves.object_id[3]), str(curves.band[3]))]
    assert select(curves, pairs).object_id.tolist() == [pairs[0][0]]
    with pytest.raises(ProtocolError, match="missing"):
        select(curves, [*pairs, ("nobody", "g")])


@needs_protocols
@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_can_be_read(name):
    protocol = load_protocol(PROTOCOLS, name)
    assert len(protocol.fit) > 1000
    assert load_protocol(PROTOCOLS, name.split("_")[0]).name == name
    assert default_test(protocol, simulate_curves(1, 5)) == list(protocol.cal)


@needs_protocols
def test_an_encoder_that_saw_the_answer_is_refused():
    p1, p2a = (load_protocol(PROTOCOLS, name) for name in ("P1", "P2a"))
    check_admissible(p1, {"labels_seen": [], "curves_seen": {"ASAS": 5}})
    with pytest.raises(ProtocolError, match="RRAB"):
        check_admissible(p1, {"labels_seen": ["RRAB"]})
    with pytest.raises(ProtocolError, match="anomaly curves"):
        check_admissible(p2a, {"curves_seen": {"CRTS": 5}})
    check_admissible(p2a, {"curves_seen": {"CRTS": 5}, "curves_left_out": [p2a.name]})


def test_an_unknown_protocol_is_refused(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"protocols": {}}))
    with pytest.raises(ProtocolError, match="no usable protocol"):
        load_protocol(path, "P9")


def test_measures():
    inliers, odd = np.arange(100.0), np.array([50.5, 200.0])
    assert auroc(inliers, odd) == pytest.approx((51 + 100) / 200)
    assert auroc(np.ones(5), np.ones(3)) == 0.5
    assert recall_at(inliers, odd, 0.01) == 0.5
    assert true_positives_at(inliers, odd, 0.05) == 0.5
    assert average_precision(inliers, odd) == pytest.approx((1 + 2 / 51) / 2)
    truth, guess = np.array(["a", "a", "b"]), np.array(["a", "b", "b"])
    assert macro_f1(truth, guess) == pytest.approx(2 / 3)
