"""Input cuts, on packets as they come in and on stored points when they are read. Pure."""

from dataclasses import dataclass

import numpy as np

from worker.light_curve import SCORE_STEPS, UNKNOWN_SCORE
from worker.photometry import Passing, corrected
from worker.types.arrays import Bool, Float64
from worker.types.packets import PacketBatch

SCORES = np.where(np.arange(256) == UNKNOWN_SCORE, np.nan, np.arange(256) / SCORE_STEPS)
"""Real-bogus scores by what is stored."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """What is too poor to score; magnitudes in mag, distances in arcsec.

    `min_rb` counts only where there is no drb, the better of the two.
    """

    min_drb: float = 0.5
    min_rb: float = 0.55
    asteroid_arcsec: float = 5.0
    saturated_mag: float = 13.2
    programids: frozenset[int] = frozenset({1})


def judge_packets(packets: PacketBatch, cuts: Cuts) -> list[str | None]:
    """Per packet the first cut that removes it, or None (design: Decode)."""
    magnitude, _ = corrected(
        packets.magpsf, packets.sigmapsf, packets.magnr, packets.sigmagnr,
        packets.distnr, packets.positive,
    )  # fmt: skip
    with np.errstate(invalid="ignore"):
        judged = (
            ("skipped.non_public", ~np.isin(packets.programid, list(cuts.programids))),
            ("skipped.real_bogus", _bogus(packets.rb, packets.drb, cuts)),
            (
                "skipped.solar_system",
                (packets.ssdistnr >= 0) & (packets.ssdistnr < cuts.asteroid_arcsec),
            ),
            ("skipped.saturated", magnitude < cuts.saturated_mag),
        )
    fates: list[str | None] = [None] * len(packets)
    for fate, rows in reversed(judged):
        for row in np.flatnonzero(rows).tolist():
            fates[row] = fate
    return fates


def passing(cuts: Cuts) -> Passing:
    """The same cuts for stored points, by what was stored."""
    programs = np.zeros(256, dtype=bool)
    programs[list(cuts.programids)] = True
    scores = ~_bogus(SCORES[:, None], SCORES[None, :], cuts)
    return Passing(scores, programs, cuts.saturated_mag)


def _bogus(rb: Float64, drb: Float64, cuts: Cuts) -> Bool:
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(drb), rb < cuts.min_rb, drb < cuts.min_drb)
