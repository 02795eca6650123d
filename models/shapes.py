"""Shapes of ordinary variable sources: what a source does, before anybody looks at it.

Each function takes a generator and times (N,) [d], ascending, and returns magnitudes (N,):
relative to the source's mean for persistent sources, absolute difference magnitudes for
transients (NaN while dark). The last time is the night that is looked at, so a transient is
somewhere in its course then. Magnitudes grow towards the faint. Ranges are rounded literature
values; nothing is fitted to data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Shape = Callable[[np.random.Generator, Float64], Float64]

TWO_PI = 2.0 * np.pi


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of sources.

    `share` of an ordinary night; `reference`: range of the source's mean r magnitude, None
    where there is no reference source (a transient); `colour`: g - r of that source; `state`:
    what the source was at when the reference was taken, mag relative to its mean.
    """

    shape: Shape
    share: float
    reference: tuple[float, float] | None
    colour: tuple[float, float] = (0.1, 0.6)
    state: float = 0.0


def phase_of(rng: np.random.Generator, t: Float64, period: float) -> Float64:
    """Phase in [0, 1) with a random zero point."""
    return np.asarray((t / period + rng.random()) % 1.0)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _fourier(phase: Float64, amplitude: float, ratios: Float64, phases: Float64) -> Float64:
    k = np.arange(1, len(ratios) + 1)
    waves = ratios * np.cos(TWO_PI * k * phase[:, None] + phases)
    return np.asarray(amplitude * waves.sum(axis=1))


def rr_lyrae(rng: np.random.Generator, t: Float64) -> Float64:
    """Saw tooth of 0.45-0.7 d (ab, a third modulated: Blazhko) or a rounder one (c)."""
    if rng.random() < 0.7:
        ratios = np.array([1.0, 0.45, 0.33, 0.2, 0.1]) * rng.normal(1, 0.06, 5)
        phases = np.array([0.0, 3.9, 1.7, 5.8, 3.7]) + rng.normal(0, 0.12, 5)
        depth = rng.uniform(0.05, 0.2) if rng.random() < 0.33 else 0.0
        slow = 1.0 + depth * np.sin(TWO_PI * phase_of(rng, t, rng.uniform(30, 120)))
        pulse = _fourier(phase_of(rng, t, rng.uniform(0.45, 0.7)), 1.0, ratios, phases)
        return np.asarray(rng.uniform(0.25, 0.5) * slow * pulse)
    ratios = np.array([1.0, 0.15, 0.06]) * rng.normal(1, 0.1, 3)
    phases = np.array([0.0, 4.6, 2.6]) + rng.normal(0, 0.2, 3)
    phase = phase_of(rng, t, rng.uniform(0.28, 0.4))
    return _fourier(phase, rng.uniform(0.18, 0.28), ratios, phases)


def cepheid(rng: np.random.Generator, t: Float64) -> Float64:
    """Asymmetric pulsation of 2-40 d."""
    ratios = np.array([1.0, 0.4, 0.18, 0.08]) * rng.normal(1, 0.1, 4)
    phases = np.array([0.0, 4.2, 2.1, 0.2]) + rng.normal(0, 0.2, 4)
    phase = phase_of(rng, t, _log_uniform(rng, 2, 40))
    return _fourier(phase, rng.uniform(0.2, 0.5), ratios, phases)


def eclipsing(rng: np.random.Generator, t: Float64) -> Float64:
    """Detached, semi-detached or contact binary of 0.25-8 d."""
    period = _log_uniform(rng, 0.25, 8)
    phase = phase_of(rng, t, period)
    close = period < 0.8
    width = rng.uniform(0.06, 0.11) if close else rng.uniform(0.03, 0.07)
    deep = rng.uniform(0.25, 1.0)
    shallow = deep * rng.uniform(0.3, 1.0)
    tides = rng.uniform(0.05, 0.15) if close else rng.uniform(0.0, 0.06)
    first = np.exp(-0.5 * (np.minimum(phase, 1 - phase) / width) ** 2)
    second = np.exp(-0.5 * ((phase - 0.5) / width) ** 2)
    return np.asarray(deep * first + shallow * second - tides * np.cos(2 * TWO_PI * phase))


def long_period(rng: np.random.Generator, t: Float64) -> Float64:
    """Mira or semi-regular variable of 90-500 d, with cycles that differ a little."""
    period = rng.uniform(90, 500)
    mira = rng.random() < 0.6
    amplitude = rng.uniform(0.8, 2.5) if mira else rng.uniform(0.2, 0.6)
    phase = TWO_PI * phase_of(rng, t, period)
    drift = 0.15 * np.sin(TWO_PI * phase_of(rng, t, period * rng.uniform(3, 6)))
    second = rng.uniform(0.0, 0.4) * np.cos(TWO_PI * phase_of(rng, t, period * 0.55))
    wave = np.cos(phase) + 0.15 * np.cos(2 * phase + 1.0)
    return np.asarray(amplitude * (wave + drift + (0.0 if mira else 1.0) * second))


def delta_scuti(rng: np.random.Generator, t: Float64) -> Float64:
    """One or two pulsations of 0.05-0.2 d; the ratio of the first two radial modes is 0.77."""
    period = rng.uniform(0.05, 0.2)
    main = rng.uniform(0.12, 0.35) * np.cos(TWO_PI * phase_of(rng, t, period))
    second = rng.uniform(0, 0.08) * np.cos(TWO_PI * phase_of(rng, t, 0.77 * period))
    return np.asarray(main + second)


def rotator(rng: np.random.Generator, t: Float64) -> Float64:
    """Spots on a rotating star of 0.5-30 d that grow and fade over months."""
    phase = phase_of(rng, t, _log_uniform(rng, 0.5, 30))
    grow = 1 + 0.3 * np.sin(TWO_PI * phase_of(rng, t, rng.uniform(80, 300)))
    spots = np.cos(TWO_PI * phase) + rng.uniform(0, 0.5) * np.cos(2 * TWO_PI * phase + 1.0)
    return np.asarray(rng.uniform(0.06, 0.2) * grow * spots)


def random_walk(rng: np.random.Generator, t: Float64, tau: float, scatter: float) -> Float64:
    """Damped random walk: time scale `tau` [d], asymptotic scatter [mag] (Kelly et al. 2009)."""
    decay = np.exp(-np.diff(t) / tau)
    kicks = rng.normal(0, scatter, len(t))
    kicks[1:] *= np.sqrt(1 - decay**2)
    walk = np.empty(len(t))
    walk[0] = value = kicks[0]
    for i, (keep, kick) in enumerate(zip(decay.tolist(), kicks[1:].tolist(), strict=True), 1):
        walk[i] = value = value * keep + kick
    return walk


def active_nucleus(rng: np.random.Generator, t: Float64) -> Float64:
    """Quasar (tau 50-600 d) or, one in five, a blazar: faster and stronger."""
    if rng.random() < 0.2:
        return random_walk(rng, t, rng.uniform(10, 100), rng.uniform(0.3, 0.7))
    return random_walk(rng, t, _log_uniform(rng, 50, 600), rng.uniform(0.1, 0.35))


def cataclysmic(rng: np.random.Generator, t: Float64) -> Float64:
    """Dwarf nova: flickering quiescence, outbursts of 2-4.5 mag every 15-90 d."""
    height, fade = rng.uniform(2, 4.5), rng.uniform(3, 8)
    bright = np.zeros(len(t))
    start = t[-1] - rng.uniform(0.5, fade)
    while start > t[0] - 30:
        x = t - start
        burst = height * rng.uniform(0.85, 1.0)
        length = fade * rng.uniform(0.8, 1.2)
        outburst = np.clip(np.where(x < 1, x, 1 - np.clip(x - length, 0, None) / 2.5), 0, 1)
        bright = np.maximum(bright, burst * outburst)
        start -= rng.uniform(15, 90)
    return np.asarray(rng.normal(0, 0.12, len(t)) - bright)


def flare_star(rng: np.random.Generator, t: Float64) -> Float64:
    """Active dwarf: spot modulation, and a few exposures caught in a flare."""
    spots = rng.uniform(0.04, 0.12) * np.cos(TWO_PI * phase_of(rng, t, _log_uniform(rng, 0.4, 9)))
    caught = rng.random(len(t)) < rng.uniform(0.03, 0.12)
    return np.asarray(spots - caught * np.minimum(rng.exponential(0.5, len(t)), 2.5))


def microlensing(rng: np.random.Generator, t: Float64) -> Float64:
    """Point lens and source (Paczynski 1986), near its maximum tonight."""
    crossing, nearest = _log_uniform(rng, 12, 70), rng.uniform(0.05, 0.7)
    x = (t - t[-1] - rng.uniform(-0.6, 1.0) * -crossing) / crossing
    u2 = nearest**2 + x**2
    return np.asarray(-2.5 * np.log10((u2 + 2) / np.sqrt(u2 * (u2 + 4))))


def supernova(rng: np.random.Generator, t: Float64) -> Float64:
    """Rise of 12-22 d and decline in two slopes (Ia), or a plateau of 60-110 d (II)."""
    top, rise_time = rng.uniform(16.5, 19.0), rng.uniform(12, 22)
    x = t - (t[-1] - rng.uniform(-5, 90))
    rise = top + 2.5 * np.minimum(x, 0) ** 2 / rise_time**2
    if rng.random() < 0.7:
        bend = rng.uniform(22, 32)
        fade = rng.uniform(0.06, 0.1) * np.clip(x, 0, bend) + 0.018 * np.clip(x - bend, 0, None)
    else:
        plateau = rng.uniform(60, 110)
        drop = rng.uniform(1.4, 2.2) / (1 + np.exp(-(x - plateau) / 5))
        fade = rng.uniform(0.002, 0.012) * np.clip(x, 0, None) + drop
    return np.where(x < -1.3 * rise_time, np.nan, np.where(x < 0, rise, top + fade))


INLIERS: Mapping[str, Kind] = {
    "RRL": Kind(rr_lyrae, 0.20, (14.5, 18.5), (0.1, 0.3)),
    "ECL": Kind(eclipsing, 0.24, (14.5, 18.3), (0.1, 0.8)),
    "LPV": Kind(long_period, 0.14, (14.8, 18.5), (0.9, 1.8)),
    "AGN": Kind(active_nucleus, 0.12, (16.5, 19.0), (0.0, 0.5)),
    "SN": Kind(supernova, 0.12, None),
    "CEP": Kind(cepheid, 0.04, (14.5, 17.5), (0.4, 0.8)),
    "DSCT": Kind(delta_scuti, 0.04, (14.5, 17.5), (0.0, 0.3)),
    "ROT": Kind(rotator, 0.04, (14.2, 16.5), (0.4, 1.2)),
    "CV": Kind(cataclysmic, 0.03, (18.5, 20.3), (0.0, 0.3)),
    "FLARE": Kind(flare_star, 0.02, (15.5, 17.5), (1.0, 1.4)),
    "ULENS": Kind(microlensing, 0.01, (16.0, 18.5), (0.4, 1.2)),
}
"""Classes of an ordinary night, by the groups of the training data."""
