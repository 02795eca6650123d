"""Oddities: kinds of light curves that no training set holds, planted to see what is found.

Same contract as `models.shapes`. Amplitudes are moderate on purpose: below those of Miras,
novae and supernovae, so that only the shape tells them.
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
    """Steady star with aperiodic, asymmetric dips of days to weeks: dust or comets."""
    dim = np.zeros(len(t))
    centre = t[-1] - rng.uniform(1, 5)
    while centre > t[0] - 40:
        x = t - centre
        fall, rise = rng.uniform(2, 5), rng.uniform(8, 20)
        dim += rng.uniform(0.3, 0.8) * np.exp(np.where(x < 0, x / fall, -x / rise))
        centre -= rng.uniform(20, 60)
    return dim


def vanishing(rng: np.random.Generator, t: Float64) -> Float64:
    """A star that fades once within days and stays away: a failed supernova."""
    when = rng.uniform(*np.quantile(t, [0.45, 0.75]))
    return np.asarray(-0.35 + rng.uniform(1.1, 1.5) / (1 + np.exp(-(t - when) / 1.5)))


def repeating_flare(rng: np.random.Generator, t: Float64) -> Float64:
    """A star that loses a little to a black hole at each orbit: equal flares, sudden rise."""
    period, fade = rng.uniform(25, 45), rng.uniform(10, 16)
    since = (t - t[-1] + rng.uniform(1, 10)) % period
    return np.asarray(rng.uniform(17.2, 18.0) + 1.0857 * since / fade)


def chirp(rng: np.random.Generator, t: Float64) -> Float64:
    """An in-spiralling pair: the period shrinks as the 5/8th power law of the time left."""
    span = t[-1] - t[0]
    left = (t[-1] + rng.uniform(4, 12) - t) / span
    cycles = rng.uniform(10, 16) * (1 - left ** (5 / 8))
    return np.asarray(rng.uniform(0.35, 0.5) * np.sin(TWO_PI * (cycles + rng.random())))


def heartbeat(rng: np.random.Generator, t: Float64) -> Float64:
    """A very eccentric pair: brightness swings down and up at each periastron."""
    phase = phase_of(rng, t, rng.uniform(12, 25)) - 0.5
    return np.asarray(-rng.uniform(9, 12) * phase * np.exp(-0.5 * (phase / 0.07) ** 2))


def two_states(rng: np.random.Generator, t: Float64) -> Float64:
    """A magnetic binary that switches between a high and a low state, weeks at a time."""
    edges = t[-1] - np.cumsum(rng.uniform(12, 40, 80))[::-1]
    high = np.searchsorted(edges, t) % 2 == 1
    return np.where(high, -0.45, rng.uniform(0.4, 0.55))


def double_peak(rng: np.random.Generator, t: Float64) -> Float64:
    """A supernova with a bright precursor a month before and a second maximum after."""
    peak, top = t[-1] - rng.uniform(50, 75), rng.uniform(17.0, 17.8)
    flux = np.zeros(len(t))
    for delay, bright, width in ((-38.0, 0.6, 6.0), (0.0, 1.0, 10.0), (45.0, 0.8, 14.0)):
        x = (t - peak - delay) / width
        flux += bright * np.exp(-np.where(x < 0, 4 * x**2, x))
    return np.where(flux > 0.02, top - 2.5 * np.log10(np.maximum(flux, 1e-6)), np.nan)


def relaxation(rng: np.random.Generator, t: Float64) -> Float64:
    """A disc that fills slowly and empties at once: a slow ramp up, a sudden drop."""
    period = rng.uniform(18, 40)
    since = phase_of(rng, t, period)
    return np.asarray(rng.uniform(0.9, 1.2) * (0.5 - since))


ODDITIES: Mapping[str, Oddity] = {
    "dipper": Oddity(
        Kind(dipper, 1.0, (15.0, 16.5)), "aperiodic, asymmetric dips of a steady star"
    ),
    "vanishing star": Oddity(
        Kind(vanishing, 1.0, (15.5, 17.0)), "fades once within days and stays away"
    ),
    "repeating flare": Oddity(
        Kind(repeating_flare, 1.0, None), "equal flares every month: partial disruption"
    ),
    "chirping pair": Oddity(
        Kind(chirp, 1.0, (15.0, 17.0)), "a period that shrinks from cycle to cycle"
    ),
    "heartbeat star": Oddity(
        Kind(heartbeat, 1.0, (14.5, 15.5)), "a swing of brightness at every periastron"
    ),
    "two-state switcher": Oddity(
        Kind(two_states, 1.0, (15.5, 17.5)), "jumps between two levels, weeks at a time"
    ),
    "double-peaked supernova": Oddity(
        Kind(double_peak, 1.0, None), "a bright precursor and a second maximum"
    ),
    "relaxation oscillator": Oddity(
        Kind(relaxation, 1.0, (15.0, 17.0)), "slow ramps up, sudden drops"
    ),
}
"""Kinds that no training set holds."""
