"""Whatever the seed: packets decode, carry every detection, and shapes stay finite."""

import io

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.oddities import ODDITIES
from models.shapes import INLIERS
from models.simulate import NIGHT_JD, draw_object, simulate_curves, simulate_object
from worker.simulate import simulate_packets

KINDS = {**INLIERS, **{name: oddity.kind for name, oddity in ODDITIES.items()}}

seeds = st.integers(0, 2**32 - 1)


def records(values):
    for value in values:
        try:
            yield next(fastavro.reader(io.BytesIO(value)))
        except (ValueError, EOFError, StopIteration):
            continue


@settings(max_examples=15, deadline=None)
@given(seeds, st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
def test_packets_carry_every_detection(seed, kinds):
    rng = np.random.default_rng(seed)
    objects = [draw_object(rng, kind, end=NIGHT_JD + 0.3)[0] for kind in kinds]
    night = simulate_packets(seed, objects)
    seen: dict[str, dict[int, float]] = {name: {} for name in night.object_ids}
    for record in records([*night.history, *night.packets]):
        points = seen.setdefault(record["objectId"], {})
        for point in [record["candidate"], *(record["prv_candidates"] or ())]:
            if point["candid"] is not None:
                assert points.setdefault(point["candid"], point["jd"]) == point["jd"]
    for found, name in zip(objects, night.object_ids, strict=True):
        assert sorted(seen[name].values()) == found.jd[found.detected].tolist()
    candids = [candid for points in seen.values() for candid in points]
    assert len(set(candids)) == len(candids)


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=20, deadline=None)
@given(seed=seeds, span=st.floats(40.0, 2500.0))
def test_shapes_are_finite_and_detections_sound(kind, seed, span):
    found = simulate_object(np.random.default_rng(seed), kind, NIGHT_JD + 0.3, span)
    use = found.detected & np.isfinite(found.mag)
    assert (np.diff(found.jd) >= 0).all()
    assert found.jd[-1] == NIGHT_JD + 0.3
    assert np.isfinite(found.magpsf[found.detected]).all()
    assert (found.err[use] > 0).all()
    # Brighter than any source here, and fainter than any image shows.
    assert ((found.magpsf > 8.0) & (found.magpsf < 24.0))[found.detected].all()


@settings(max_examples=15, deadline=None)
@given(seeds, st.integers(0, 6), st.integers(5, 15))
def test_curves_have_the_points_that_were_asked_for(seed, count, least):
    curves = simulate_curves(seed, count, min_points=least)
    assert len(curves) == count
    assert (np.diff(curves.offsets) >= least).all()
    assert np.isfinite(curves.mag).all()
