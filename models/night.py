"""A simulated night: ordinary objects, the oddities planted among them, and their amplitudes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.oddities import ODDITIES
from models.simulate import (
    BANDS,
    MIN_POINTS,
    NIGHT_JD,
    SimulatedObject,
    draw_kinds,
    draw_object,
)

PLANTED_POINTS = 45
"""A planted oddity has at least this many points: fewer show no shape."""

NIGHT_HOURS = (4.8, 11.5)


@dataclass(frozen=True, slots=True)
class PlannedNight:
    """Objects that alert tonight; `planted`: rows of the oddities among them."""

    objects: Sequence[SimulatedObject]
    planted: Sequence[int]

    def why(self, row: int) -> str:
        """What is odd about a planted object."""
        return ODDITIES[self.objects[row].kind].why


def plan_night(seed: int, count: int) -> PlannedNight:
    """`count` ordinary objects and one of every kind of oddity, shuffled. Seeded."""
    rng = np.random.default_rng(seed)
    drawn = [(kind, 1) for kind in draw_kinds(rng, count)]
    drawn += [(kind, PLANTED_POINTS) for kind in ODDITIES]
    objects = []
    for number in rng.permutation(len(drawn)).tolist():
        kind, points = drawn[number]
        end = NIGHT_JD + float(rng.uniform(*NIGHT_HOURS)) / 24.0
        objects.append(draw_object(rng, kind, end=end, min_points=points)[0])
    planted = [row for row, found in enumerate(objects) if found.kind in ODDITIES]
    return PlannedNight(objects, planted)


def amplitudes(objects: Sequence[SimulatedObject]) -> NDArray[np.float64]:
    """Largest range of magnitudes among the bands that alert tonight (N,); NaN where too short."""
    result = np.full(len(objects), np.nan)
    for row, found in enumerate(objects):
        for fid in BANDS:
            use = found.scored(fid)
            if use.sum() >= MIN_POINTS and found.jd[use][-1] > found.jd[-1] - 0.5:
                result[row] = np.fmax(result[row], np.ptp(found.mag[use]))
    return result


def rank_by_amplitude(objects: Sequence[SimulatedObject], top: int) -> list[int]:
    """Rows of the `top` objects of largest amplitude, largest first: the plain baseline."""
    size = amplitudes(objects)
    order = np.argsort(-np.nan_to_num(size, nan=-1.0), kind="stable")
    return [int(row) for row in order[:top] if np.isfinite(size[row])]
