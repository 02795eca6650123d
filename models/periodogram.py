"""The best period of a light curve: a semi-coherent search, refined exactly.

The search finds candidates cheaply: the curve is cut into segments, and their
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
