"""Calibration: exactness, bins, tail, fall-backs, files; a stream's own set and its drift."""

import hashlib

import numpy as np
import pytest

from models.bins import EDGES, WIDE, BinnedSets, ReferenceSets, bin_of
from models.calibration import (
    CalibrationError,
    conformal_p,
    load_calibration,
    p_values,
    save_calibration,
)
from models.drift import compare_scores, night_drift, one_per_object, spearman, stream_scores

RNG = np.random.default_rng(8)


def a_set(tmp_path, count=3000, survey="here", seed=1, kinds=(0, 1)):
    rng = np.random.default_rng(seed)
    n = np.exp(rng.uniform(np.log(5), np.log(400), count)).astype(np.int64)
    kind = rng.choice(np.array(kinds, dtype=np.uint8), count)
    score = rng.normal(size=count) + 3.0 / np.sqrt(n)
    path = tmp_path / f"{survey}.safetensors"
    nearest = rng.integers(0, 3, count).astype(np.int32)
    save_calibration(path, survey, kind, n, score, score**2, nearest)
    return load_calibration(path), n, kind, score, nearest


def test_p_is_the_share_of_inliers_at_least_as_strange():
    got = conformal_p(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 9.0]))
    np.testing.assert_allclose(got, [1.0, 0.75, 0.25])


def test_unseen_inliers_are_flagged_at_their_nominal_rate_at_every_length(tmp_path):
    # Wider than the bins, and of several calibrations: one alone scatters by 0.3 per cent.
    shares = []
    for seed in range(0, 8, 2):
        calibration, *_ = a_set(tmp_path, 40_000, seed=seed)
        _, n, kind, score, nearest = a_set(tmp_path, 40_000, seed=seed + 1)
        found = p_values(calibration, calibration, kind, n, score, score**2, nearest)
        lengths = np.searchsorted([10, 14, 20, 40, 100, 200], n, side="right")
        shares.append([(found.p[lengths == b] <= 0.01).mean() for b in range(7)])
        assert np.isnan(found.p_provisional).all()
        assert (found.n_cal >= 400).all()
    mean = np.mean(shares, axis=0)
    assert ((mean > 0.007) & (mean < 0.015)).all(), mean


def test_without_a_calibration_p_is_provisional(tmp_path):
    provisional, n, kind, score, nearest = a_set(tmp_path)
    found = p_values(None, provisional, kind, n, score, score**2, nearest)
    assert np.isnan(found.p).all()
    assert np.isnan(found.p_input).all()
    assert np.isfinite(found.p_provisional).all()
    assert found.calibration_sha256 == [None] * len(n)


def test_a_kind_with_too_few_objects_is_not_calibrated(tmp_path):
    small, n, kind, score, nearest = a_set(tmp_path, 900)
    found = p_values(small, small, kind, n, score, score**2, nearest)
    assert small.kinds == []
    assert np.isnan(found.p).all()


def test_empty_batches_are_fine(tmp_path):
    calibration, *_ = a_set(tmp_path)
    none = np.zeros(0)
    for c in (calibration, None):
        found = p_values(c, calibration, none.astype(np.uint8), none.astype(np.int64), none, none,
                         none.astype(np.int32))  # fmt: skip
        assert len(found.p) == 0


def p_of(scores, fresh):
    return ReferenceSets.of([scores]).p(np.zeros(len(fresh), dtype=np.int64), fresh)


def test_the_tail_goes_beyond_the_set_and_is_flagged():
    scores = np.random.default_rng(3).exponential(size=4000)
    p, far = p_of(scores, np.array([1.0, 15.0, 30.0]))
    assert far.tolist() == [False, True, True]
    assert p[1] == pytest.approx(np.exp(-15), rel=50)
    assert p[2] <= p[1] < p[0]


def test_no_score_is_impossible():
    # Uniform scores end at 1; what lies beyond is rare, not excluded.
    p, far = p_of(np.random.default_rng(4).uniform(size=500), np.array([1.01, 1.1, 1.2]))
    assert far.all()
    assert (p > 1e-8).all()
    assert (np.diff(p) < 0).all()


@pytest.mark.parametrize("size", [200, 300, 1000])
def test_a_small_set_flags_one_percent_too(size):
    # Within the set's resolution p is a count: no tail fit may bend it.
    rng = np.random.default_rng(size)
    shares = [(p_of(rng.normal(size=size), rng.normal(size=2000))[0] <= 0.01).mean()
              for _ in range(300)]  # fmt: skip
    exact = np.floor(0.01 * (size + 1)) / (size + 1)
    assert np.mean(shares) == pytest.approx(exact, abs=4 * np.std(shares) / np.sqrt(300))


def lengths_used(n, length):
    """Numbers of points of the scores that a curve of this length is compared with."""
    values = {1: n.astype(np.float64)}
    sets = BinnedSets.of(values, {1: n})
    (which,) = sets.of_bin(np.ones(1, dtype=np.uint8), np.array([length]))
    return sets.sets.scores[sets.sets.start[which] : sets.sets.stop[which]].tolist()


def test_a_sparse_bin_borrows_the_nearest_lengths():
    rng = np.random.default_rng(2)
    young = rng.integers(5, 40, 900)
    n = np.concatenate([young, np.full(150, 60), np.full(90, 250)])
    found = lengths_used(n, 250)
    assert set(found) == {60, 250}, "never across the first period"
    assert (found.count(250), len(found)) == (90, 200)
    assert set(lengths_used(n, 39)) <= set(range(20, 40))
    few_long = np.concatenate([young, np.full(50, 60)])
    assert len(lengths_used(few_long, 250)) == 200, "too few on this side"
    assert lengths_used(np.array([7]), 250) == [7]
    assert lengths_used(np.zeros(0, dtype=np.int64), 7) == []


def test_a_full_bin_borrows_nothing():
    n = np.repeat(np.arange(5, 500), 1000)
    for length in (5, 39, 40, 100, 450):
        used = lengths_used(n, length)
        strangest = used if length < WIDE else used[-len(used) // 10 :]
        (b,) = np.unique(bin_of(np.array(strangest).astype(np.int64)))
        assert b == bin_of(np.array([length]))
    assert (np.diff(EDGES) > 0).all()


def a_mixed_survey(count=80_000, seed=5):
    """Slow objects, ordinary to the score, are detected less often: n, score, whether slow."""
    rng = np.random.default_rng(seed)
    n = np.exp(rng.uniform(np.log(WIDE), np.log(800), count)).astype(np.int64)
    slow = rng.uniform(size=count) < 0.8 - 0.7 * np.log(n / WIDE) / np.log(800 / WIDE)
    return n, rng.normal(size=count) - 1.3 * slow, slow


def test_p_of_a_class_does_not_follow_the_mix_of_classes_at_each_length():
    n, score, slow = a_mixed_survey()
    sets = BinnedSets.of({1: score}, {1: n})
    fresh_n, fresh, slow = a_mixed_survey(seed=6)
    p, _ = sets.p(sets.of_bin(np.ones(len(fresh), dtype=np.uint8), fresh_n), fresh)
    for mine in (slow, ~slow):
        assert abs(spearman(p[mine], fresh_n[mine].astype(float))) < 0.1
    lengths = np.searchsorted([200, 300, 450], fresh_n, side="right")
    for b in range(4):
        assert 0.007 < (p[lengths == b] <= 0.01).mean() < 0.015
        assert (p[lengths == b] <= 0.1).mean() == pytest.approx(0.1, abs=0.015)
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8)):
        assert ((p > low) & (p <= high)).mean() == pytest.approx(0.2, abs=0.02)


def test_within_a_length_p_keeps_the_order_of_the_scores():
    n, score, _ = a_mixed_survey()
    sets = BinnedSets.of({1: score}, {1: n})
    length, fresh = np.full(5000, 300), np.linspace(-4, 4, 5000)
    p, _ = sets.p(sets.of_bin(np.ones(5000, dtype=np.uint8), length), fresh)
    assert (np.diff(p) <= 0).all()
    alike = score[bin_of(n) == bin_of(length[:1])]
    exact = conformal_p(alike, fresh)
    strange = (exact <= 0.1) & (exact > 1.5 / len(alike))
    np.testing.assert_allclose(p[strange], exact[strange])


def test_a_length_with_few_objects_is_flagged_at_its_nominal_rate(tmp_path):
    # The score jumps at 40 points, as it does where the period comes in.
    shares = {39: [], 40: [], 300: []}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n = np.exp(rng.uniform(np.log(5), np.log(150), 1000)).astype(np.int64)
        score = rng.normal(size=1000) + np.where(n >= 40, 1.5, 0.0)
        kind, nearest = np.ones(1000, dtype=np.uint8), np.zeros(1000, dtype=np.int32)
        save_calibration(tmp_path / "c.safetensors", "here", kind, n, score, score, nearest)
        calibration = load_calibration(tmp_path / "c.safetensors")
        for length, found in shares.items():
            fresh = rng.normal(size=1000) + (1.5 if length >= 40 else 0.0)
            p = p_values(calibration, calibration, kind, np.full(1000, length), fresh, fresh,
                         nearest.astype(np.int32)).p  # fmt: skip
            found.append((p <= 0.01).mean())
    assert all(0.007 <= np.mean(found) <= 0.015 for found in shares.values()), shares


def test_p_never_grows_with_the_score():
    p, _ = p_of(np.random.default_rng(3).normal(size=1000) ** 3, np.linspace(-5, 60, 4000))
    assert (np.diff(p) <= 1e-12).all()


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_broken_file_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CalibrationError):
        load_calibration(path)


def test_the_digest_is_that_of_the_file(tmp_path):
    calibration, *_ = a_set(tmp_path)
    content = (tmp_path / "here.safetensors").read_bytes()
    assert calibration.sha256 == hashlib.sha256(content).hexdigest()


def alert(number, candid, **more):
    return {
        "survey": "ZTF", "objectId": f"o{number}", "candid": candid, "model_sha256": "m",
        "score": float(number % 97), "s_input": 1.0, "nearest_class": "RRL", "n_points": 20,
        "magnitude_kind": "apparent", "p": None, "curve_hash": 1, "outcome": "withheld.below",
        **more,
    }  # fmt: skip


def test_one_alert_counts_per_object_whatever_the_order():
    records = [alert(number % 10, number) for number in range(100)]
    chosen = {r["objectId"]: r["candid"] for r in one_per_object(records)}
    assert len(chosen) == 10
    assert chosen == {r["objectId"]: r["candid"] for r in one_per_object(reversed(records))}
    smallest = min(range(3, 100, 10), key=lambda c: hashlib.md5(str(c).encode()).hexdigest())
    assert chosen["o3"] == smallest


def test_a_stream_needs_a_thousand_objects_of_this_model():
    records = [alert(number, number) for number in range(1000)]
    found = stream_scores(records, "ZTF", "m", ["LPV", "RRL"])
    assert len(found.score) == 1000
    assert set(found.nearest.tolist()) == {1}
    for wrong in (records[:999], [{**r, "model_sha256": "other"} for r in records],
                  [{**r, "survey": "LSST"} for r in records]):  # fmt: skip
        with pytest.raises(CalibrationError, match="1000"):
            stream_scores(wrong, "ZTF", "m", ["LPV", "RRL"])


def test_drift_sees_a_shift():
    steady = [alert(i, i, p=(i + 0.5) / 5000) for i in range(5000)]
    shifted = [alert(i, i, p=((i + 0.5) / 5000) ** 2) for i in range(5000)]
    assert abs(night_drift("20260101", steady).sigma) < 1
    assert night_drift("20260101", shifted).sigma > 3
    assert night_drift("20260101", [alert(1, 1)]) is None
    assert sum(night_drift("20260101", steady).histogram) == 5000


def test_comparing_models_needs_equal_curves():
    a = [alert(i, i, score=float(i)) for i in range(300)]
    b = [alert(i, i, score=float(-i), curve_hash=1 if i < 200 else 2) for i in range(300)]
    found = compare_scores(a, b)
    assert found["compared"] == 200
    assert found["spearman"] == pytest.approx(-1.0)
    assert compare_scores(a, a)["top100_shared"] == 100


def test_spearman_shares_ranks_of_ties():
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([1.0, 1.0, 5.0])) == pytest.approx(1.0)
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))
