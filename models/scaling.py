"""Standardises inputs by the training inliers; a missing value becomes the median."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numba
import numpy as np
import torch
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

CLIP = 5.0
"""Inputs are clipped to this many standard deviations."""

PLACES = np.linspace(-2.5, 2.5, 41)
"""Standard normal deviates at which an input's quantiles are known; linear between."""


class AnyScaling(Protocol):
    """Medians and robust standard deviations (D,) of the training inliers; one scale for all."""

    median: Float64
    spread: Float64

    @classmethod
    def of(cls, raw: Float64) -> Self:
        """From raw inputs (N, D); NaN stands for missing, also for an input that no row has."""

    def apply(self, raw: Float64) -> Float32:
        """Standardised inputs (N, D), clipped, missing = 0 (the median)."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """For the artefact."""

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """From the artefact."""


@dataclass(slots=True)
class Scaling:
    """Distance from the median in robust standard deviations (D,) of the inliers."""

    median: Float64
    spread: Float64

    @classmethod
    def of(cls, raw: Float64) -> Self:
        """From raw inputs (N, D)."""
        return cls(*_median_and_spread(_known(raw)))

    def apply(self, raw: Float64) -> Float32:
        """Standardised inputs (N, D)."""
        return deviations(self, raw)

    def tensors(self) -> dict[str, torch.Tensor]:
        """For the artefact."""
        return _tensors(self.median, self.spread)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """From the artefact."""
        return cls(_array(tensors, "median"), _array(tensors, "spread"))


@dataclass(slots=True)
class BlendedScaling:
    """The mean of a robust distance and of a normal quantile: `knots` (D, 41) at PLACES.

    Quantiles spread what is crowded and so tell alike classes apart; distances keep what is far
    off far off. On validation curves the mean was better than either.
    """

    median: Float64
    spread: Float64
    knots: Float64

    @classmethod
    def of(cls, raw: Float64) -> Self:
        """From raw inputs (N, D)."""
        known = _known(raw)
        share = torch.special.ndtr(torch.from_numpy(PLACES)).numpy()
        return cls(*_median_and_spread(known), np.nanquantile(known, share, axis=0).T.copy())

    def apply(self, raw: Float64) -> Float32:
        """Standardised inputs (N, D)."""
        rows = np.ascontiguousarray(raw, dtype=np.float64)
        blended: Float32 = _blended(rows, self.median, self.spread, self.knots, PLACES)
        return blended

    def tensors(self) -> dict[str, torch.Tensor]:
        """For the artefact."""
        knots = torch.from_numpy(self.knots.copy())
        return {**_tensors(self.median, self.spread), "scaling.knots": knots}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """From the artefact."""
        return cls(*(_array(tensors, name) for name in ("median", "spread", "knots")))


def deviations(scaling: AnyScaling, raw: Float64) -> Float32:
    """Distance from the median (N, D) in robust standard deviations, clipped, missing = 0."""
    scaled = np.clip((raw - scaling.median) / scaling.spread, -CLIP, CLIP)
    return np.nan_to_num(scaled, nan=0.0).astype(np.float32)


def _known(raw: Float64) -> Float64:
    """The same with zeros for an input that no row has."""
    return np.where(np.isnan(raw).all(axis=0), 0.0, raw)


def _median_and_spread(known: Float64) -> tuple[Float64, Float64]:
    median = np.nanmedian(known, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(known - median), axis=0)
    return median, np.where(spread > 1e-9, spread, 1.0)


def _tensors(median: Float64, spread: Float64) -> dict[str, torch.Tensor]:
    found = {"scaling.median": median, "scaling.spread": spread}
    return {name: torch.from_numpy(values.copy()) for name, values in found.items()}


def _array(tensors: Mapping[str, torch.Tensor], name: str) -> Float64:
    return np.ascontiguousarray(tensors[f"scaling.{name}"].double().numpy())


@numba.njit(cache=True, nogil=True)
def _blended(
    raw: Float64, median: Float64, spread: Float64, knots: Float64, places: Float64
) -> Float32:
    out = np.zeros(raw.shape, np.float32)
    for row in range(len(raw)):
        for column in range(len(median)):
            x = raw[row, column]
            if np.isnan(x):
                continue
            distance = (x - median[column]) / spread[column]
            quantile = _quantile(x, knots[column], places, spread[column])
            out[row, column] = 0.5 * (
                min(max(distance, -CLIP), CLIP) + min(max(quantile, -CLIP), CLIP)
            )
    return out


@numba.njit(cache=True, nogil=True)
def _quantile(x: float, knots: Float64, places: Float64, spread: float) -> float:
    """Standard normal deviate of a value; beyond the knots it grows as the distance does."""
    last = len(knots) - 1
    if x < knots[0]:
        return float(places[0] + (x - knots[0]) / spread)
    if x > knots[last]:
        return float(places[last] + (x - knots[last]) / spread)
    low = np.searchsorted(knots, x)
    high = low
    while high < last and knots[high + 1] == x:
        high += 1
    if knots[low] == x:  # on a knot, or on several where a value is common
        return float(0.5 * (places[low] + places[high]))
    share = (x - knots[low - 1]) / (knots[low] - knots[low - 1])
    return float(places[low - 1] + share * (places[low] - places[low - 1]))
