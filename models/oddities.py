"""Oddities: kinds of light curves that no training set holds, planted to see what is found.

Same contract as `models.shapes`. Their amplitudes, 1-2.5 mag, are below those of Miras, dwarf
novae and supernovae: only the shape tells them. Each is modelled on a real or predicted object,
and not all of them are easy.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.shapes import TWO_PI, Float64, Kind, phase_of


@dataclass(frozen=True, slots=True)
class Oddity:
    """A kind and, in one line, what is odd about it."""

    kind: Kind
    why: str


def dipper(rng: np.random.Generator, t: Float64) -> Float64:
    """Steady star with rare, deep, asymmetric dips: clumps of dust or comets pass."""
    dim = np.zeros(len(t))
    centre = t[-1] - rng.uniform(2, 10)
    while centre > t[0] - 40:
        x = t - centre
        dip = np.exp(np.where(x < 0, x / rng.uniform(1, 3), -x / rng.uniform(10, 20)))
        dim = np.maximum(dim, rng.uniform(1.3, 2.0) * dip)
        centre -= rng.uniform(70, 160)
    return dim


def vanishing(rng: np.random.Generator, t: Float64) -> Float64:
    """A star that fades within days and stays away: a failed supernova (N6946-BH1)."""
    when = t[-1] - rng.uniform(15, 50)
    return np.asarray(-0.3 + rng.uniform(1.8, 2.2) / (1 + np.exp(np.minimum(when - t, 700.0))))


def occultation(rng: np.random.Generator, t: Float64) -> Float64:
    """A steady star that a ringed companion covers, once, for a month (J1407)."""
    half = rng.uniform(15, 25)
    middle = t[-1] - half * rng.uniform(0.2, 0.9)
    covered = 1 - (np.abs(t - middle) / half) ** 6
    return np.asarray(rng.uniform(1.6, 2.0) * np.clip(covered, 0, 1))


def winking_pair(rng: np.random.Generator, t: Float64) -> Float64:
    """A pair that sinks behind the edge of its disc for half of each month-long orbit (KH 15D)."""
    phase = phase_of(rng, t, rng.uniform(25, 50))
    edge = np.sin(TWO_PI * phase) * 12
    return np.asarray(rng.uniform(1.4, 1.7) * (1 / (1 + np.exp(-edge)) - 0.5))


def two_states(rng: np.random.Generator, t: Float64) -> Float64:
    """A magnetic binary whose accretion goes on and off, weeks at a time (AM Her)."""
    edges = t[-1] - np.cumsum(rng.uniform(15, 35, 80))[::-1] + rng.uniform(0, 15)
    high = np.searchsorted(edges, t) % 2 == 1
    return np.where(high, -0.8, 0.8)


def intermittent_pulsator(rng: np.random.Generator, t: Float64) -> Float64:
    """Fast pulsation that each periastron of an eccentric orbit starts and that dies away."""
    excited = phase_of(rng, t, rng.uniform(50, 80)) < rng.uniform(0.3, 0.4)
    return np.asarray(0.9 * excited * np.sin(TWO_PI * phase_of(rng, t, rng.uniform(0.3, 0.6))))


def stopped_pulsator(rng: np.random.Generator, t: Float64) -> Float64:
    """A pulsation that ends for good half-way through."""
    when = t[0] + (t[-1] - t[0]) * rng.uniform(0.4, 0.6)
    wave = 0.8 * np.sin(TWO_PI * phase_of(rng, t, rng.uniform(0.4, 0.7)))
    return np.where(t < when, wave, -0.1)


def repeating_flare(rng: np.random.Generator, t: Float64) -> Float64:
    """A star that loses a little to a black hole at each orbit: equal flares, sudden rise."""
    period, fade = rng.uniform(25, 45), rng.uniform(10, 16)
    since = (t - t[-1] + rng.uniform(1, 10)) % period
    return np.asarray(rng.uniform(17.0, 17.8) + 0.7 * since / fade)


ODDITIES: Mapping[str, Oddity] = {
    "dust dipper": Oddity(
        Kind(dipper, 1.0, (14.8, 16.2), state=0.9), "rare, deep, asymmetric dips of a steady star"
    ),
    "vanishing star": Oddity(
        Kind(vanishing, 1.0, (15.5, 16.8), state=0.9), "fades within days and stays away"
    ),
    "ringed companion": Oddity(
        Kind(occultation, 1.0, (15.0, 16.5), state=0.6), "a steady star, covered once for a month"
    ),
    "winking pair": Oddity(
        Kind(winking_pair, 1.0, (15.5, 16.8)), "behind the edge of its disc half of every month"
    ),
    "two-state binary": Oddity(
        Kind(two_states, 1.0, (15.5, 17.0)), "jumps between two levels, weeks at a time"
    ),
    "intermittent pulsator": Oddity(
        Kind(intermittent_pulsator, 1.0, (15.0, 16.5), state=0.3),
        "fast pulsation that starts every two months and dies away",
    ),
    "stopped pulsator": Oddity(
        Kind(stopped_pulsator, 1.0, (15.0, 16.5), state=0.3), "a pulsation that ends for good"
    ),
    "repeating flare": Oddity(
        Kind(repeating_flare, 1.0, None), "equal flares every month: a partial disruption"
    ),
}
"""Kinds that no training set holds."""
