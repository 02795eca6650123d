"""Inference: ragged curves in, embeddings out; length buckets instead of padding to 200."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from models.astromer import Astromer, masked_mean
from models.data import cut_rows

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

STEP_BUDGET = 8192
"""Padded steps (windows times length) in one forward pass."""

BUCKETS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 200)
"""Lengths that windows are padded to; longer models pad to their own window."""

ERROR_SCALE = 0.3


def newest(offsets: Int64, window: int) -> tuple[Int64, Int64]:
    """Point indices of the newest `window` points of each curve, and the new offsets."""
    n = np.diff(offsets)
    length = np.minimum(n, window)
    return cut_rows(offsets, n - length, length)


def model_inputs(
    offsets: Int64, jd: Float64, mag: Float64, err: Float64, channels: str
) -> tuple[Float32, Float32]:
    """Per point the input channels (N, C) and the time (N,), centred per window in float64.

    Near jd 2.46e6 a float32 steps by a quarter of a day: the mean goes before the cast.
    """
    n = np.diff(offsets)
    row = np.repeat(np.arange(len(n)), n)
    count = np.maximum(n, 1)
    # Sums start from the first value of each row, so that 2.46e6 doesn't eat digits.
    first = offsets[:-1][n > 0]
    base = np.zeros(len(n))
    base[n > 0] = jd[first]
    days = jd - base[row]
    days -= (np.bincount(row, days, len(n)) / count)[row]
    centred = mag - (np.bincount(row, mag, len(n)) / count)[row]
    if channels == "mag":
        return centred[:, None].astype(np.float32), days.astype(np.float32)
    columns = (centred, ERROR_SCALE * np.arcsinh(centred / err), np.log10(err))
    return np.stack(columns, axis=1).astype(np.float32), days.astype(np.float32)


class Embedder:
    """An encoder in inference mode.

    With a property head the embedding is its output (the useful layer: specification science,
    section 5), else the mean of the last state over visible steps.
    """

    def __init__(self, module: Astromer, device: str = "cpu") -> None:
        self._module = module.eval().to(device)
        self._device = device
        self.window = module.config.window
        self.dim = module.config.targets or module.config.width

    def warm_up(self) -> None:
        """Run every bucket once."""
        for length in (*BUCKETS, self.window):
            self.embed(
                np.array([0, length], dtype=np.int64),
                np.linspace(0.0, 1.0, length),
                np.zeros(length),
                np.full(length, 0.1),
            )

    def embed(self, offsets: Int64, jd: Float64, mag: Float64, err: Float64) -> Float32:
        """Embeddings (B, dim) of ragged curves: newest window, centred, bucketed by length."""
        index, cut = newest(offsets, self.window)
        x, times = model_inputs(
            cut, jd[index], mag[index], err[index], self._module.config.channels
        )
        out = np.zeros((len(cut) - 1, self.dim), dtype=np.float32)
        with torch.inference_mode():
            for rows, length in buckets(np.diff(cut), self.window):
                out[rows] = self._forward(x, times, cut, rows, length)
        return out

    def _forward(
        self, x: Float32, times: Float32, offsets: Int64, rows: Int64, length: int
    ) -> Float32:
        n = offsets[rows + 1] - offsets[rows]
        visible = np.arange(length) < n[:, None]
        place = (offsets[rows][:, None] + np.arange(length))[visible]
        padded_x = np.zeros((len(rows), length, x.shape[1]), dtype=np.float32)
        padded_t = np.zeros((len(rows), length), dtype=np.float32)
        padded_x[visible], padded_t[visible] = x[place], times[place]
        mask = 1.0 - visible.astype(np.float32)
        tensors = [torch.from_numpy(a).to(self._device) for a in (padded_x, padded_t, mask)]
        if self._module.property_head is not None:
            result = self._module.properties(*tensors)
        else:
            result = masked_mean(self._module(*tensors)[-1], tensors[2])
        return np.asarray(result.float().cpu().numpy(), dtype=np.float32)


def buckets(lengths: Int64, window: int) -> Iterator[tuple[Int64, int]]:
    """Rows of similar length and the length to pad them to, within the step budget."""
    edges = np.array([b for b in BUCKETS if b < window] + [window])
    bucket = np.searchsorted(edges, lengths)
    for number in np.unique(bucket[lengths > 0]).tolist():
        length = int(edges[number])
        rows = np.flatnonzero((bucket == number) & (lengths > 0))
        size = max(1, STEP_BUDGET // length)
        for start in range(0, len(rows), size):
            yield rows[start : start + size], length
