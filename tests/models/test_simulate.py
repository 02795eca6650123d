"""The simulator's physics: noise, cadence, shapes, the planted kinds."""

import numpy as np
import pytest

from models.night import amplitudes, plan_night, rank_by_amplitude
from models.oddities import ODDITIES
from models.shapes import INLIERS
from models.simulate import (
    BANDS,
    MIN_POINTS,
    NIGHT_JD,
    cadence,
    draw_kinds,
    draw_object,
    simulate_curves,
)


@pytest.fixture(scope="module")
def curves():
    return simulate_curves(3, 600)


def test_curves_are_sound(curves):
    n = np.diff(curves.offsets)
    assert len(curves) == 600
    assert n.min() >= MIN_POINTS
    assert np.isfinite(curves.mag).all()
    assert (curves.err > 0).all()
    for start, stop in zip(curves.offsets[:-1], curves.offsets[1:], strict=True):
        assert (np.diff(curves.time[start:stop]) > 0).all()
    assert set(curves.survey) == {"simulated"}
    assert len(set(curves.object_id)) == 600


def test_seed_decides(curves):
    again, other = simulate_curves(3, 600), simulate_curves(4, 600)
    np.testing.assert_array_equal(curves.mag, again.mag)
    assert not np.array_equal(curves.mag[:50], other.mag[:50])


def test_no_curves():
    empty = simulate_curves(1, 0)
    assert len(empty) == 0
    assert empty.offsets.tolist() == [0]


def test_longer_histories_have_more_points():
    short = np.diff(simulate_curves(1, 200, ["RRL"]).offsets)
    long = np.diff(simulate_curves(1, 200, ["RRL"], longest_d=2500.0).offsets)
    assert long.max() > 250 > short.max()


@pytest.mark.parametrize("kind", [*INLIERS, *ODDITIES])
def test_every_kind_alerts_tonight(kind):
    rng = np.random.default_rng(5)
    end = NIGHT_JD + 0.3
    for _ in range(5):
        found, fid = draw_object(rng, kind, end=end, min_points=12)
        use = found.scored(fid)
        assert use.sum() >= 12
        assert end - 0.5 < found.jd[use][-1] <= end
        assert found.jd.max() <= end
        assert (found.reference is None) == ((INLIERS | _kinds())[kind].reference is None)


def _kinds():
    return {name: oddity.kind for name, oddity in ODDITIES.items()}


def test_errors_describe_the_scatter():
    """A faint transient's magnitudes scatter by what their errors say."""
    rng = np.random.default_rng(8)
    pulls = []
    for _ in range(60):
        found, fid = draw_object(rng, "ROT", min_points=30)
        use = found.scored(fid)
        steps = np.diff(found.mag[use]) / np.hypot(found.err[use][1:], found.err[use][:-1])
        same_hour = np.diff(found.jd[use]) < 1.2
        pulls.append(steps[same_hour])
    spread = np.percentile(np.abs(np.concatenate(pulls)), 50)
    # Spots turn between two nights too, so the median step is above that of pure noise (0.67).
    assert 0.6 < spread < 6.0


def test_detections_are_beyond_five_sigma():
    rng = np.random.default_rng(2)
    for kind in ("SN", "AGN", "CV"):
        found, _ = draw_object(rng, kind)
        assert (found.sigmapsf[found.detected] < 1.0858 / 5).all()
        assert (found.magpsf[found.detected] < 21.5).all()


def test_cadence_has_seasons_weather_and_two_bands():
    rng = np.random.default_rng(4)
    jd, fid = cadence(rng, NIGHT_JD + 0.3, 1500.0)
    assert (np.diff(jd) >= 0).all()
    assert set(fid.tolist()) == set(BANDS)
    gaps = np.diff(np.unique(np.floor(jd)))
    assert gaps.max() > 60  # behind the sun
    assert 1 <= np.median(gaps) <= 5


def test_kinds_follow_their_shares():
    names = np.array(draw_kinds(np.random.default_rng(1), 20_000))
    for name, kind in INLIERS.items():
        assert abs((names == name).mean() - kind.share) < 0.015


def test_shares_sum_to_one():
    assert sum(kind.share for kind in INLIERS.values()) == pytest.approx(1.0)


def test_planted_kinds_are_not_ordinary():
    assert not set(ODDITIES) & set(INLIERS)


def test_a_planned_night_holds_one_of_each_oddity():
    plan = plan_night(7, 60)
    assert len(plan.objects) == 60 + len(ODDITIES)
    assert sorted(plan.objects[row].kind for row in plan.planted) == sorted(ODDITIES)
    assert all(plan.why(row) for row in plan.planted)


@pytest.mark.parametrize("seed", range(6))
def test_amplitude_alone_does_not_find_the_planted(seed):
    plan = plan_night(seed, 300)
    top = rank_by_amplitude(plan.objects, 10)
    size = amplitudes(plan.objects)
    assert len(top) == 10
    assert (np.diff(size[top]) <= 0).all()
    assert len(set(top) & set(plan.planted)) <= len(plan.planted) // 2
