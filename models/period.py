"""The period block: best period of a light curve and the shape of the curve folded on it.

A semi-coherent search finds candidates cheaply: the curve is cut into segments, and their
classical periodograms (Schuster 1898) are summed on a grid as coarse as the segments allow. The
best peaks are refined on the whole curve with the exact floating-mean periodogram
(Zechmeister and Kuerster 2009). Tests compare it with a full fine grid.
"""

import functools
import math

import numba
import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Complex64 = NDArray[np.complex64]
Coarse = tuple[float, Complex64, Float32]

MAX_FREQUENCY = 16.0
"""Per day; delta Scuti stars pulsate up to about here."""
SEGMENT_DAYS = 700.0
COARSE_OVERSAMPLING = 3.0
FINE_OVERSAMPLING = 6.0
CANDIDATES = 10
KERNEL = 4
"""Width of the spreading kernel in cells."""
FFT_OVERSAMPLING = 1.5
KERNEL_BETA = 0.97 * math.pi * KERNEL * (1 - 0.5 / FFT_OVERSAMPLING)
LADDER = 0.1
"""Segment lengths are rounded up in steps of this logarithm, so that few grids exist."""
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


def coarse_power(time: Float64, weighted: Float64, bounds: Int64, length: float) -> Coarse:
    """Spectrum of each segment on one frequency grid, by a non-uniform FFT.

    `weighted`: weight times centred magnitude; `bounds` (S + 1,): segments as point indices;
    `length` [d]: at least that of the longest segment. Float32 and a narrow kernel: good to
    1 %, which is enough to name candidates.
    """
    step, count, size, correction = _grid(math.ceil(math.log(max(length, 1.0)) / LADDER))
    cells = spread(time, weighted, bounds, step, size)
    spectrum = np.empty((len(cells), count), np.complex64)
    for row, cell in zip(spectrum, cells, strict=True):
        row[:] = np.fft.rfft(cell)[1 : count + 1]
    return step, spectrum, correction


@functools.lru_cache(maxsize=128)
def _grid(level: int) -> tuple[float, int, int, Float32]:
    """Step [1/d], number of frequencies, FFT size and kernel correction of a ladder's level."""
    step = 1.0 / (COARSE_OVERSAMPLING * math.exp(level * LADDER))
    count = int(MAX_FREQUENCY / step)
    size = _fast_size(int(2 * FFT_OVERSAMPLING * count) + 2 * KERNEL)
    x = np.linspace(-0.5 * KERNEL, 0.5 * KERNEL, 257)
    values = np.exp(KERNEL_BETA * (np.sqrt(1 - (2 * x / KERNEL) ** 2) - 1))
    node = np.linspace(0, 0.5 / FFT_OVERSAMPLING * 1.01, 513)
    transform = np.trapezoid(values * np.cos(2 * np.pi * node[:, None] * x), x, axis=1)
    correction = np.interp(np.arange(1, count + 1) / size, node, transform)
    return step, count, size, (correction**-2).astype(np.float32)


def _fast_size(size: int) -> int:
    """The next 2^a or 3 2^a or 5 2^a: lengths that FFTs like."""
    return min(m << max(0, math.ceil(math.log2(size / m))) for m in (1, 3, 5))


@numba.njit(cache=True, nogil=True)
def spread(time: Float64, weighted: Float64, bounds: Int64, step: float, size: int) -> Float32:
    """Spread each segment's values over a regular grid (S, size) with a compact kernel.

    Exponential-of-semicircle kernel (Barnett, Magland and af Klinteberg 2019).
    """
    cells = np.zeros((len(bounds) - 1, size), np.float32)
    for g in range(len(bounds) - 1):
        for i in range(bounds[g], bounds[g + 1]):
            place = (time[i] - time[bounds[g]]) * step * size + KERNEL
            first = math.ceil(place - 0.5 * KERNEL)
            for j in range(first, first + KERNEL):
                inside = 1.0 - (2.0 * (j - place) / KERNEL) ** 2
                if inside > 0.0:
                    cells[g, j] += weighted[i] * math.exp(KERNEL_BETA * (math.sqrt(inside) - 1.0))
    return cells


@numba.njit(cache=True, nogil=True)
def _segments(time: Float64, weight: Float64) -> tuple[Int64, Float64, float]:
    """Bounds and summed weights of at least one segment, and the segments' length [d]."""
    span = max(time[-1], 1.0)
    count = max(1, math.ceil(span / SEGMENT_DAYS))
    length = span / count
    bounds = np.zeros(count + 1, np.int64)
    for g in range(1, count):
        bounds[g] = np.searchsorted(time, g * length)
    bounds[count] = len(time)
    share = np.empty(count)
    for g in range(count):
        share[g] = max(weight[bounds[g] : bounds[g + 1]].sum(), 1e-3)
    return bounds, share, length


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sum_power(spectrum: Complex64, correction: Float32, share: Float64) -> Float32:
    """Power summed over segments, each in units of its own weight."""
    power = np.zeros(spectrum.shape[1], np.float32)
    for g in range(len(share)):
        scale = np.float32(1.0 / share[g])
        for k in range(len(power)):
            value = spectrum[g, k]
            power[k] += scale * (value.real**2 + value.imag**2)
    for k in range(len(power)):
        power[k] *= correction[k]
    return power


@numba.njit(cache=True, nogil=True)
def _candidates(power: Float32) -> Int64:
    """Indices of the highest local maxima, at most CANDIDATES."""
    best = np.full(CANDIDATES, -1, np.int64)
    lowest = 0
    last = len(power) - 1
    for k in range(len(power)):
        value = power[k]
        if (k > 0 and power[k - 1] >= value) or (k < last and power[k + 1] > value):
            continue
        if best[lowest] >= 0 and power[best[lowest]] >= value:
            continue
        best[lowest] = k
        for j in range(CANDIDATES):
            if best[j] < 0:
                lowest = j
                break
            if power[best[j]] < power[best[lowest]]:
                lowest = j
    return best[best >= 0]


@numba.njit(cache=True, nogil=True, fastmath=True)
def exact_power(time: Float64, centred: Float64, weight: Float64, frequency: float) -> float:
    """Floating-mean power at one frequency: explained weighted sum of squares."""
    c_mean = s_mean = yc = ys = cc = cs = 0.0
    for i in range(len(time)):
        angle = 2.0 * math.pi * frequency * time[i]
        c, s, w = math.cos(angle), math.sin(angle), weight[i]
        c_mean += w * c
        s_mean += w * s
        yc += w * centred[i] * c
        ys += w * centred[i] * s
        cc += w * c * c
        cs += w * c * s
    ss = 1.0 - cc - s_mean * s_mean
    cc -= c_mean * c_mean
    cs -= c_mean * s_mean
    determinant = cc * ss - cs * cs
    if determinant < 1e-6:
        return 0.0
    return (ss * yc * yc + cc * ys * ys - 2.0 * cs * yc * ys) / determinant


def best_frequency(time: Float64, centred: Float64, weight: Float64) -> tuple[float, float]:
    """Frequency [1/d] of the highest peak and its power; time starts at 0, weights sum to 1."""
    bounds, share, length = _segments(time, weight)
    step, spectrum, correction = coarse_power(time, weight * centred, bounds, length)
    result = _refine(time, centred, weight, step, _sum_power(spectrum, correction, share))
    return float(result[0]), float(result[1])


@numba.njit(cache=True, nogil=True)
def _refine(
    time: Float64, centred: Float64, weight: Float64, coarse: float, power: Float32
) -> tuple[float, float]:
    """The best of the candidates on the whole curve."""
    span = max(time[-1], 1.0)
    fine = 1.0 / (FINE_OVERSAMPLING * span)
    reach = math.ceil(coarse / fine)
    best, height = coarse, -1.0
    for k in _candidates(power):
        for j in range(-reach, reach + 1):
            frequency = coarse * (k + 1) + j * fine
            if frequency < 0.5 / span:
                continue
            value = exact_power(time, centred, weight, frequency)
            if value > height:
                best, height = frequency, value
    return _polish(time, centred, weight, best, height, fine)


@numba.njit(cache=True, nogil=True)
def _polish(
    time: Float64, centred: Float64, weight: Float64, best: float, height: float, step: float
) -> tuple[float, float]:
    for _ in range(3):
        step *= 0.4
        for sign in (-1.0, 1.0):
            value = exact_power(time, centred, weight, best + sign * step)
            if value > height:
                best, height = best + sign * step, value
                break
    return best, height


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
