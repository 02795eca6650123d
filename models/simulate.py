"""Simulated objects as a survey sees them: cadence, noise, detections. Seeded, NumPy only.

The night's objects and the curves for calibration and pretraining come from one function, so
that a calibration on the latter holds for the former.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data import CurveSet
from models.oddities import ODDITIES
from models.shapes import INLIERS, Kind

Float64 = NDArray[np.float64]
UInt8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]

SURVEY = "simulated"
BANDS = (1, 2)
"""g and r."""

NIGHT_JD = 2461236.5
"""2026-07-15 00:00 UTC; Palomar observes from 4 to 12 hours after it."""

LIMIT_MAG = 20.8
"""5-sigma limit of a dark exposure, mag."""

MOON_MAG = 1.0
"""What a full moon takes from it, mag."""

NEW_MOON_JD = 2451550.1
SYNODIC_DAYS = 29.530589

SCATTER = 0.012
"""Relative noise of a bright source: flat field, point spread function."""

AMPLITUDE_RATIO = 0.8
"""Persistent sources vary less in r than in g."""

MAGNITUDE_ERROR = 2.5 / np.log(10)
MIN_POINTS = 5

SHORTEST_D = 40.0
LONGEST_D = 700.0
"""Histories of a night's objects, d."""


@dataclass(frozen=True, slots=True)
class SimulatedObject:
    """One object's exposures, ascending jd; difference photometry and what it means.

    `kind`: class or oddity. `reference`: magnitude and error of the reference source per fid,
    None for a transient. Per exposure (N,): jd [d], fid, limit [mag], `detected`; where it is
    detected: magpsf, sigmapsf [mag], `positive`; mag, err: what is scored, the apparent
    magnitude with a reference, else the difference magnitude.
    """

    kind: str
    reference: dict[int, tuple[float, float]] | None
    jd: Float64
    fid: UInt8
    limit: Float64
    detected: Bool
    positive: Bool
    magpsf: Float64
    sigmapsf: Float64
    mag: Float64
    err: Float64

    def scored(self, fid: int) -> Bool:
        """Exposures that enter a window of this band."""
        usable = self.detected & (self.fid == fid) & np.isfinite(self.mag)
        return np.asarray(usable if self.reference is not None else usable & self.positive)


def cadence(rng: np.random.Generator, end: float, span: float) -> tuple[Float64, UInt8]:
    """Exposures of one object, jd and fid: seasons, cloudy weeks, moonlight, two bands.

    The last night is observed in r at `end`, and in g before it seven times out of ten.
    """
    nights = np.arange(np.floor(end) - np.ceil(span), np.floor(end))
    season = (nights - end + rng.uniform(100, 200)) % 365.25 < rng.uniform(220, 290)
    season |= nights > end - 100
    cloudy = np.repeat(rng.random(len(nights) // 5 + 1) < 0.25, 5)[: len(nights)]
    bright = (_moon(nights) > 0.9) & (rng.random(len(nights)) < 0.5)
    visible = season & ~cloudy & ~bright
    jd, fid = [], []
    for band in BANDS:
        taken = nights[visible & (rng.random(len(nights)) < rng.uniform(0.3, 0.6))]
        jd.append(taken + end % 1.0 + rng.uniform(-0.15, 0.15, len(taken)))
        fid.append(np.full(len(taken), band))
    tonight = [end - rng.uniform(0.02, 0.08), end] if rng.random() < 0.7 else [end]
    jd.append(np.array(tonight))
    fid.append(np.array(BANDS[-len(tonight) :]))
    times, bands = np.concatenate(jd), np.concatenate(fid).astype(np.uint8)
    order = np.argsort(times)
    return times[order], bands[order]


def _moon(jd: Float64) -> Float64:
    """Illuminated share of the moon."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * (jd - NEW_MOON_JD) / SYNODIC_DAYS))


def simulate_object(
    rng: np.random.Generator, kind: str, end: float, span: float
) -> SimulatedObject:
    """One object of a kind of INLIERS or ODDITIES, its last exposure at `end` (jd)."""
    spec = INLIERS[kind] if kind in INLIERS else ODDITIES[kind].kind
    jd, fid = cadence(rng, end, span)
    limit = LIMIT_MAG - MOON_MAG * _moon(jd) + rng.normal(0, 0.2, len(jd))
    noise = _flux(limit) / 5.0
    reference, truth = _sources(rng, spec, jd, fid)
    base, base_err = np.zeros(len(jd)), np.zeros(len(jd))
    if reference is not None:
        magnr, sigmagnr = np.array([reference[band] for band in fid.tolist()]).T
        base, base_err = _flux(magnr), _flux(magnr) * sigmagnr
    sigma = np.hypot(noise, SCATTER * truth)
    difference = truth - base + rng.normal(0, 1, len(jd)) * sigma
    wild = rng.random(len(jd)) < 0.003
    difference = np.where(wild, difference * rng.uniform(0.3, 1.8, len(jd)), difference)
    magpsf = np.round(-2.5 * np.log10(np.maximum(np.abs(difference), 1e-12)), 4)
    difference = np.sign(difference) * _flux(magpsf)
    sigmapsf = MAGNITUDE_ERROR * sigma / np.abs(difference)
    total = base + difference
    # The correction of difference to apparent magnitudes, see the specification of alerts.
    variance = (difference * sigmapsf) ** 2 - base_err**2
    err = np.where(variance > 0, np.sqrt(np.abs(variance)), np.abs(difference) * sigmapsf)
    good = total > 0
    return SimulatedObject(
        kind=kind,
        reference=reference,
        jd=jd,
        fid=fid,
        limit=limit,
        detected=np.abs(difference) > 5 * sigma,
        positive=difference > 0,
        magpsf=magpsf,
        sigmapsf=sigmapsf,
        mag=np.where(good, -2.5 * np.log10(np.where(good, total, 1.0)), np.nan),
        err=np.where(good, err / np.where(good, total, 1.0), np.nan),
    )


def _sources(
    rng: np.random.Generator, spec: Kind, jd: Float64, fid: UInt8
) -> tuple[dict[int, tuple[float, float]] | None, Float64]:
    """The reference source per band, and the true flux (transients: above the reference)."""
    relative = spec.shape(rng, jd)
    colour = rng.uniform(*spec.colour) * (fid == 1)
    if spec.reference is None:
        shown = np.where(np.isnan(relative), 99.0, relative + colour)
        return None, _flux(shown)
    scale = np.where(fid == 1, 1.0, AMPLITUDE_RATIO)
    mean = rng.uniform(*spec.reference)
    truth = _flux(mean + colour + scale * relative)
    # A reference is a stack of exposures taken before, at one state of the source or another.
    state = rng.normal(spec.state, 0.03)
    reference = {}
    for band in BANDS:
        magnitude = round(mean + float(rng.normal(0, 0.005)) + state, 3)
        if band == 1:
            magnitude = round(magnitude + float(np.max(colour, initial=0.0)), 3)
        reference[band] = (magnitude, round(0.006 + 0.06 * 10 ** (0.4 * (magnitude - 20.0)), 3))
    return reference, truth


def _flux(magnitude: Float64) -> Float64:
    return np.asarray(10 ** (-0.4 * magnitude))


def draw_object(
    rng: np.random.Generator,
    kind: str,
    *,
    end: float | None = None,
    min_points: int = MIN_POINTS,
    longest_d: float = LONGEST_D,
) -> tuple[SimulatedObject, int]:
    """An object that alerts on the night of `end` (a random night without), and the band.

    Its history is between six weeks and `longest_d` long, log-uniform. Draws again until a band
    detected in the last night has `min_points` to score.
    """
    while True:
        night = NIGHT_JD - rng.integers(0, 400) if end is None else end
        moment = float(night + rng.uniform(0.2, 0.48)) if end is None else end
        span = float(np.exp(rng.uniform(np.log(SHORTEST_D), np.log(longest_d))))
        found = simulate_object(rng, kind, moment, span)
        tonight = [
            fid
            for fid in BANDS
            if (scored := found.scored(fid)).sum() >= min_points
            and found.jd[scored][-1] > moment - 0.5
        ]
        if tonight:
            return found, int(rng.choice(tonight))


def draw_kinds(rng: np.random.Generator, count: int) -> list[str]:
    """Classes of an ordinary night, by their shares."""
    names = list(INLIERS)
    shares = np.array([INLIERS[name].share for name in names])
    return [names[i] for i in rng.choice(len(names), count, p=shares / shares.sum())]


def simulate_curves(
    seed: int,
    count: int,
    kinds: Sequence[str] | None = None,
    *,
    min_points: int = MIN_POINTS,
    longest_d: float = LONGEST_D,
) -> CurveSet:
    """`count` curves of one band each, every one as of the last night on which it alerts.

    `kinds`: every one of them equally often; without, the classes of an ordinary night by their
    shares (what a calibration needs, with the default `longest_d` [d] of a history).
    """
    rng = np.random.default_rng(seed)
    wanted = list(kinds or ())
    names = [wanted[i % len(wanted)] for i in range(count)] if wanted else draw_kinds(rng, count)
    drawn = [draw_object(rng, name, min_points=min_points, longest_d=longest_d) for name in names]
    uses = [found.scored(fid) for found, fid in drawn]
    return CurveSet(
        offsets=np.concatenate([[0], np.cumsum([use.sum() for use in uses])]).astype(np.int64),
        time=_joined([d[0].jd[use] for d, use in zip(drawn, uses, strict=True)]),
        mag=_joined([d[0].mag[use] for d, use in zip(drawn, uses, strict=True)]),
        err=_joined([d[0].err[use] for d, use in zip(drawn, uses, strict=True)]),
        object_id=np.array([f"{SURVEY}-{seed}-{i}" for i in range(count)], dtype=np.str_),
        survey=np.full(count, SURVEY),
        band=np.array([str(fid) for _, fid in drawn], dtype=np.str_),
        label=np.array(names, dtype=np.str_),
        group=np.array(names, dtype=np.str_),
        apparent=np.array([found.reference is not None for found, _ in drawn], dtype=bool),
    )


def _joined(pieces: Sequence[Float64]) -> Float64:
    return np.concatenate([np.empty(0), *pieces])
