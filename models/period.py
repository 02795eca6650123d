"""The period block: the shape of a light curve folded on its best period."""

import math

import numba
import numpy as np
from numpy.typing import NDArray

from models.periodogram import best_frequency

Float64 = NDArray[np.float64]

HARMONICS = 4
PHASES = 64
FLOOR = 1e-4

PERIOD_NAMES = (
    "log_period",
    "peak_strength",
    "harmonic_residual",
    "r21",
    "double_period_gain",
    "r21_cos_phi21",
    "r21_sin_phi21",
    "r31",
    "r31_cos_phi31",
    "r31_sin_phi31",
    "log_folded_amplitude",
    "folded_eta",
    "minima_difference",
    "faint_fraction",
    "rise_fraction",
)


@numba.njit(cache=True, nogil=True)
def fit_harmonics(
    time: Float64, centred: Float64, weight: Float64, frequency: float
) -> tuple[Float64, float]:
    """Coefficients (constant, then cosine and sine of each harmonic) and the weighted residual."""
    terms = 2 * HARMONICS + 1
    normal = np.zeros((terms, terms))
    right = np.zeros(terms)
    row = np.ones(terms)
    for i in range(len(time)):
        angle = 2.0 * math.pi * frequency * time[i]
        c, s = math.cos(angle), math.sin(angle)
        row[1], row[2] = c, s
        for k in range(1, HARMONICS):
            row[2 * k + 1] = row[2 * k - 1] * c - row[2 * k] * s
            row[2 * k + 2] = row[2 * k] * c + row[2 * k - 1] * s
        for a in range(terms):
            wa = weight[i] * row[a]
            right[a] += wa * centred[i]
            for b in range(a + 1):
                normal[a, b] += wa * row[b]
    for a in range(terms):
        normal[a, a] += 1e-4
    solution = _cholesky_solve(normal, right)
    explained = 0.0
    quadratic = 0.0
    for a in range(terms):
        explained += solution[a] * right[a]
        for b in range(terms):
            quadratic += solution[a] * solution[b] * (normal[a, b] if b <= a else normal[b, a])
        quadratic -= 1e-4 * solution[a] ** 2
    total = (weight * centred**2).sum()
    return solution, max(total - 2.0 * explained + quadratic, 0.0)


@numba.njit(cache=True, nogil=True)
def _cholesky_solve(matrix: Float64, right: Float64) -> Float64:
    """Solution for a positive definite matrix given by its lower triangle."""
    n = len(right)
    low = np.zeros((n, n))
    x = right.copy()
    for a in range(n):
        for b in range(a + 1):
            value = matrix[a, b]
            for k in range(b):
                value -= low[a, k] * low[b, k]
            low[a, b] = math.sqrt(max(value, 1e-12)) if a == b else value / low[b, b]
    for a in range(n):
        for k in range(a):
            x[a] -= low[a, k] * x[k]
        x[a] /= low[a, a]
    for a in range(n - 1, -1, -1):
        for k in range(a + 1, n):
            x[a] -= low[k, a] * x[k]
        x[a] /= low[a, a]
    return x


@numba.njit(cache=True, nogil=True)
def _model(coefficients: Float64) -> Float64:
    """The harmonic series at PHASES equal steps of its period, without the constant."""
    values = np.zeros(PHASES)
    for p in range(PHASES):
        for k in range(HARMONICS):
            angle = 2.0 * math.pi * (k + 1) * p / PHASES
            values[p] += coefficients[2 * k + 1] * math.cos(angle)
            values[p] += coefficients[2 * k + 2] * math.sin(angle)
    return values


def describe_period(time: Float64, mag: Float64, err: Float64, out: Float64) -> None:
    """Fill `out` (len(PERIOD_NAMES),) for one curve; leaves NaN where the curve is constant."""
    weight = 1.0 / (err**2 + 1e-4)
    weight = weight / weight.sum()
    centred = mag - (mag * weight).sum()
    total = (weight * centred**2).sum()
    if total < FLOOR**2:
        return
    elapsed = time - time[0]
    frequency, power = best_frequency(elapsed, centred, weight)
    _describe(elapsed, centred, weight, frequency, power / total, out)


@numba.njit(cache=True, nogil=True)
def _describe(
    elapsed: Float64,
    centred: Float64,
    weight: Float64,
    frequency: float,
    strength: float,
    out: Float64,
) -> None:
    total = (weight * centred**2).sum()
    single, residual = fit_harmonics(elapsed, centred, weight, frequency)
    double, double_residual = fit_harmonics(elapsed, centred, weight, 0.5 * frequency)
    out[0] = -math.log10(frequency)
    out[1] = strength
    out[2] = residual / total
    out[4] = math.log10(max(double_residual, FLOOR**2) / max(residual, FLOOR**2))
    _ratios(single, out)
    _shape(_model(single), _model(double), out)
    out[11] = _folded_eta(elapsed * frequency, centred, total)


@numba.njit(cache=True, nogil=True)
def _ratios(coefficients: Float64, out: Float64) -> None:
    """Amplitude ratios of the harmonics, and their phases against the first, ratio-weighted."""
    amplitude = np.empty(3)
    phase = np.empty(3)
    for k in range(3):
        c, s = coefficients[2 * k + 1], coefficients[2 * k + 2]
        amplitude[k] = math.hypot(c, s)
        phase[k] = math.atan2(-s, c)
    first = max(amplitude[0], FLOOR)
    r21, r31 = min(amplitude[1] / first, 2.0), min(amplitude[2] / first, 2.0)
    phi21, phi31 = phase[1] - 2.0 * phase[0], phase[2] - 3.0 * phase[0]
    out[3], out[5], out[6] = r21, r21 * math.cos(phi21), r21 * math.sin(phi21)
    out[7], out[8], out[9] = r31, r31 * math.cos(phi31), r31 * math.sin(phi31)


@numba.njit(cache=True, nogil=True)
def _shape(single: Float64, double: Float64, out: Float64) -> None:
    """Amplitude, difference of the two minima, time spent faint, and rise of the folded curve."""
    out[10] = math.log10(max(single.max() - single.min(), FLOOR))
    depth = max(double.max() - double.min(), FLOOR)
    faintest = double.argmax()
    opposite = double.min()
    for shift in range(int(0.3 * PHASES), int(0.7 * PHASES) + 1):
        opposite = max(opposite, double[(faintest + shift) % PHASES])
    out[12] = (double[faintest] - opposite) / depth
    out[13] = (double > 0.5 * (double.max() + double.min())).mean()
    out[14] = ((single.argmin() - single.argmax()) % PHASES) / PHASES


@numba.njit(cache=True, nogil=True)
def _folded_eta(cycles: Float64, centred: Float64, total: float) -> float:
    """Von Neumann's ratio of the curve in order of phase; small when the fold is clean."""
    order = np.argsort(cycles - np.floor(cycles))
    ordered = centred[order]
    return float(((ordered[1:] - ordered[:-1]) ** 2).mean() / total)
