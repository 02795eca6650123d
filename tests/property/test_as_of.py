"""The curve as of a packet, against its definition read aloud."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.light_curve import as_of
from worker.photometry import columns
from worker.types.light_curves import POINT

days = st.integers(0, 6).map(float)
points = st.lists(st.tuples(days, days, st.integers(0, 8)), max_size=6)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(st.tuples(points, points, points), days, st.integers(0, 8)), max_size=4))
def test_as_of_is_its_definition(packets):
    jds, known, candids, bounds, wanted = [], [], [], [], []
    for bands, jd, candid in packets:
        seen = []
        for fid, found in enumerate(bands, 1):
            # The state holds one point per candid and band, by jd and candid.
            unique = {point[2]: point for point in found}.values()
            ordered = sorted(unique, key=lambda point: (point[0], point[2]))
            bounds.append((len(jds), len(jds) + len(ordered)))
            jds += [point[0] for point in ordered]
            known += [point[1] for point in ordered]
            candids += [point[2] for point in ordered]
            seen += [(point[0], point[2], fid) for point in ordered
                     if (point[0] < jd and point[1] <= jd) or point[2] == candid]  # fmt: skip
        wanted.append(sorted(seen))
    stored = np.zeros(len(jds), dtype=POINT)
    stored["jd"], stored["known_since"], stored["candid"] = jds, known, candids
    stored.setflags(write=False)  # as what Redis answers
    offsets, kept, band = as_of(
        columns(stored, "<i8"),
        columns(stored, "<f8"),
        np.array(bounds, dtype=np.int64).reshape(-1, 3, 2),
        np.array([packet[1] for packet in packets], dtype=np.float64),
        np.array([packet[2] for packet in packets], dtype=np.int64),
    )
    points = stored[kept]
    found = list(zip(points["jd"], points["candid"], band, strict=True))
    assert [found[start:stop] for start, stop in pairwise(offsets)] == wanted
