"""Masked reconstruction: which points are probed, what is shown of them, and the loss.

Source: the authors' code as described in specification astromer, section 8.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

PROBED, SAME, RANDOM = 0.5, 0.2, 0.2
WEIGHT_FLOOR = 1e-3


@dataclass(frozen=True, slots=True)
class Masks:
    """What is done to a window of n points.

    `probed` enter the loss, `hidden` are masked; point i shows the magnitude of `shown[i]`.
    """

    probed: Bool
    hidden: Bool
    shown: Int64


def mask_window(
    rng: np.random.Generator,
    n: int,
    probed: float = PROBED,
    same: float = SAME,
    random: float = RANDOM,
) -> Masks:
    """Probe floor(n probed) points; a part stays visible, a part shows another's magnitude.

    `probed` of exactly 1 probes everything and hides nothing, as the authors classify.
    """
    shown = np.arange(n)
    chosen = rng.permutation(n)[: int(n * probed)]
    is_probed = np.zeros(n, dtype=bool)
    is_probed[chosen] = True
    if probed == 1.0:
        return Masks(is_probed, np.zeros(n, dtype=bool), shown)
    keep = int(np.ceil(len(chosen) * same))
    swap = int(np.ceil((len(chosen) - keep) * random))
    swapped, hidden = chosen[keep : keep + swap], chosen[keep + swap :]
    shown[swapped] = rng.permutation(n)[swapped]
    is_hidden = np.zeros(n, dtype=bool)
    is_hidden[hidden] = True
    return Masks(is_probed, is_hidden, shown)


def loss_weights(err: Float32, steps: int) -> Float32:
    """The authors' weights of one window of n errors, padded to `steps`.

    1 / err scaled to 0..1 within the padded window, whose padding carries the mean error, plus
    1e-3; all 1e-3 where every error is the same. Not an inverse variance.
    """
    padded = np.full(steps, err.mean(), dtype=np.float32)
    padded[: len(err)] = err
    inverse = 1.0 / padded
    low, high = inverse.min(), inverse.max()
    scaled = np.zeros_like(inverse) if high == low else (inverse - low) / (high - low)
    return np.asarray(scaled + WEIGHT_FLOOR, dtype=np.float32)


def masked_rmse(found: Tensor, wanted: Tensor, probed: Tensor, weight: Tensor | None) -> Tensor:
    """Root of the batch's mean of each window's mean square at probed points; all (B, T).

    Weights don't enter the divisor.
    """
    square = (found - wanted) ** 2 * probed
    if weight is not None:
        square = square * weight
    return torch.sqrt((square.sum(1) / probed.sum(1).clamp(min=1.0)).mean())


def masked_r2(found: Tensor, wanted: Tensor, probed: Tensor) -> Tensor:
    """Explained share of the variance at probed points around each window's mean there."""
    mean = (wanted * probed).sum(1, keepdim=True) / probed.sum(1, keepdim=True).clamp(min=1.0)
    residual = ((found - wanted) ** 2 * probed).sum()
    return 1.0 - residual / ((wanted - mean) ** 2 * probed).sum().clamp(min=1e-12)
