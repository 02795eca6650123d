"""The hand-made scaling of ALeRCE features that the reference detector was trained on.

Source: specification mcdsvdd, section 3. The logarithm is always applied (behaviour of 2021):
the published code applies it by what else is in the frame, which a stream can't reproduce.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeatureRanges:
    """`scales`: range by part of a name, first match wins; `log`, `clip_log`: parts of names."""

    scales: Mapping[str, tuple[float, float]]
    log: Sequence[str]
    clip_log: Sequence[str]
    missing: float


def scale_features(raw: Float64, names: Sequence[str], ranges: FeatureRanges) -> Float64:
    """Features (N, D) squashed to about -1 to 1; missing ones get the marker.

    Raises KeyError for a name without a range.
    """
    columns = [_scale(raw[:, i], name, ranges) for i, name in enumerate(names)]
    return np.stack(columns, axis=1)


def _scale(values: Float64, name: str, ranges: FeatureRanges) -> Float64:
    low, high = next((pair for part, pair in ranges.scales.items() if part in name), (0.0, 0.0))
    if low == high:
        raise KeyError(name)
    x = values
    with np.errstate(divide="ignore", invalid="ignore"):
        if any(part in name for part in ranges.clip_log):
            x, low, high = np.log(np.maximum(x, low)), np.log(low), np.log(high)
        elif any(part in name for part in ranges.log):
            x, low, high = np.log(x), np.log(low), np.log(high)
        scaled = np.tanh((x - low) / (high - low) - 0.5)
    return np.where(np.isnan(scaled), ranges.missing, scaled)
