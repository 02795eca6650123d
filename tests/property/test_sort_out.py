"""Which points go into a window, against the rules read aloud."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.cuts import Cuts, passing
from worker.photometry import Curves, Wanted, columns, sort_out, stretches
from worker.types.light_curves import POINT, PointFlag

CUTS = Cuts()
mags = st.sampled_from([12.0, 13.1, 13.5, 14.0, 17.3, 20.5, math.nan])
errors = st.sampled_from([0.0, 0.02, 0.3, math.nan])
scores = st.sampled_from([0, 124, 125, 137, 138, 250, 255])
points = st.tuples(
    mags, errors, mags, errors, st.sampled_from([0.0, 1.39, 1.4, math.nan, -1.0]), scores, scores,
    st.sampled_from([1, 2]), st.integers(0, 7), st.integers(1, 3),
)  # fmt: skip
curves = st.tuples(st.lists(points, max_size=8), st.integers(1, 3), st.booleans(), st.booleans())
FIELDS = ("magpsf", "sigmapsf", "magnr", "sigmagnr", "distnr", "rb", "drb", "programid", "flags")


def apparent(point):
    """Apparent magnitude and error, NaN where there is none."""
    magpsf, sigmapsf, magnr, sigmagnr, distnr = (float(point[name]) for name in FIELDS[:5])
    sign = 1 if point["flags"] & PointFlag.POSITIVE else -1
    a, b = 10 ** (-0.4 * magnr), 10 ** (-0.4 * magpsf)
    if not (0 <= distnr < 1.4 and magnr > 0 and a + sign * b > 0):
        return math.nan, math.nan
    variance = (b * sigmapsf) ** 2 - (a * sigmagnr) ** 2
    noise = math.sqrt(variance) if variance > 0 else b * sigmapsf
    return -2.5 * math.log10(a + sign * b), noise / (a + sign * b)


def is_usable(point):
    rb, drb = (math.nan if point[n] == 255 else point[n] / 250 for n in ("rb", "drb"))
    bogus = rb < CUTS.min_rb if math.isnan(drb) else drb < CUTS.min_drb
    near = point["flags"] & PointFlag.NEAR_ASTEROID
    return not (bogus or near or point["programid"] != 1 or apparent(point)[0] < 13.2)


def window(points, bands, band, star):
    """Kept points with magnitude and error, and whether these are apparent."""
    own = [p for p, fid in zip(points, bands, strict=True) if is_usable(p) and fid == band]
    possible = [p for p in own if apparent(p)[1] > 0]
    if star and possible and 2 * len(possible) >= len(own):
        return [(p["jd"], *apparent(p)) for p in possible], True
    kept = [p for p in own if p["flags"] & PointFlag.POSITIVE and p["sigmapsf"] > 0]
    return [(p["jd"], p["magpsf"], p["sigmapsf"]) for p in kept], False


@settings(deadline=None)  # the first call compiles
@given(st.lists(curves, max_size=4))
def test_points_are_sorted_out_by_the_rules(drawn):
    offsets = np.concatenate([[0], np.cumsum([len(c[0]) for c in drawn])]).astype(np.int64)
    stored = np.zeros(offsets[-1], dtype=POINT)
    flat = [point for curve in drawn for point in curve[0]]
    stored["jd"] = stored["known_since"] = np.arange(len(flat))
    for number, name in enumerate(FIELDS):
        stored[name] = [point[number] for point in flat]
    bands = np.array([point[-1] for point in flat], dtype=np.uint8)
    own = np.array([curve[1] for curve in drawn], dtype=np.uint8)
    star, wanted = (np.array([curve[n] for curve in drawn], dtype=bool) for n in (2, 3))
    at = np.random.default_rng(0).permutation(len(flat)).astype(np.int32)
    parts, shuffled = Curves(offsets, at, bands), np.empty_like(stored)
    shuffled[at] = stored
    found = sort_out(columns(shuffled, "<f4"), columns(shuffled, "u1"), parts,
                     Wanted(wanted, own, star), passing(CUTS))  # fmt: skip
    rows = np.flatnonzero(wanted).astype(np.int32)
    seen = np.stack(stretches(columns(shuffled, "<f8"), parts, rows, found), axis=1)
    expected = []
    for row in rows.tolist():
        part = slice(offsets[row], offsets[row + 1])
        kept, is_apparent = window(stored[part], bands[part], own[row], star[row])
        assert (found.in_window[row], found.apparent[row]) == (len(kept), is_apparent)
        expected += kept
        assert found.usable[part].tolist() == [is_usable(p) for p in stored[part]]
        counted = np.bincount(bands[part][found.usable[part]], minlength=4)[1:]
        assert found.by_band[row].tolist() == counted.tolist()
    np.testing.assert_allclose(seen, np.array(expected, dtype=np.float64).reshape(-1, 3))
