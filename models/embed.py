"""Stored windows through an encoder, in the form of the authors' reference vectors."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.astromer import Astromer, masked_max, masked_mean, skip_embedding
from models.windows import authors_windows, model_inputs, newest

Float32 = NDArray[np.float32]

BATCH = 64
TOLERANCES = {
    1: {"mean_by_layer": 5e-4, "max_last": 3e-3, "skip_gamma_init": 5e-4, "reconstruction": 1e-3},
    2: {"mean_by_layer": 2e-4, "max_last": 5e-4, "skip_gamma_init": 1e-4, "reconstruction": 2e-4},
}
"""By version: largest difference from the authors' float32 (specification: astromer, 12)."""


class WindowsError(ValueError):
    """Windows that an encoder can't embed."""


def read_windows(path: Path) -> dict[str, Float32]:
    """input (N, T, C), times (N, T, 1), mask_in (N, T, 1; 1 = hidden); WindowsError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {
                n: np.asarray(file[n], dtype=np.float32) for n in ("input", "times", "mask_in")
            }
    except (OSError, ValueError, KeyError) as error:
        raise WindowsError(f"{path}: {error}") from error
    shapes = {name: array.shape for name, array in found.items()}
    if any(len(shape) != 3 or shape[:2] != shapes["input"][:2] for shape in shapes.values()):
        raise WindowsError(f"{path}: shapes {shapes} are not (N, T, channels)")
    for name, array in found.items():
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=(1, 2)))[0])
            raise WindowsError(f"{path}: {name} of window {row} is not finite")
    return found


def read_curves(path: Path, windowing: str, window: int, channels: str) -> dict[str, Float32]:
    """Windows of curves (n, 3: time [d], magnitude, error) stored by name.

    `windowing`: newest (one window a curve) or authors (all, as their code cuts).
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            curves = [np.asarray(file[name], dtype=np.float64) for name in file.files]
    except (OSError, ValueError) as error:
        raise WindowsError(f"{path}: {error}") from error
    if any(c.ndim != 2 or c.shape[1] != 3 or not np.isfinite(c).all() for c in curves):
        raise WindowsError(f"{path}: a curve is not (n, 3) finite numbers")
    points = np.concatenate([c[np.argsort(c[:, 0], kind="stable")] for c in curves])
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in curves])]).astype(np.int64)
    if windowing == "authors":
        index, cut, _ = authors_windows(offsets, window)
    else:
        index, cut = newest(offsets, window)
    jd, mag, err = points[index].T
    x, times = model_inputs(cut, jd, mag, err, channels)
    visible = np.arange(window) < np.diff(cut)[:, None]
    shape = (*visible.shape, 1)
    found = {
        "input": np.zeros((*visible.shape, x.shape[1]), dtype=np.float32),
        "times": np.zeros(shape, dtype=np.float32),
        "mask_in": 1.0 - visible[..., None].astype(np.float32),
    }
    found["input"][visible], found["times"][visible] = x, times[:, None]
    return found


def embed_windows(module: Astromer, windows: dict[str, Float32]) -> dict[str, Float32]:
    """Mean by layer, maximum and skip embedding, reconstruction; float32, at full length.

    The skip embedding uses gamma as initialised, equal for all layers.
    """
    size = windows["input"].shape[2]
    if module.embed.in_features != size:
        raise WindowsError(f"the encoder reads {module.embed.in_features} channels, not {size}")
    parts = [
        _embed(module, *(torch.from_numpy(windows[n][i : i + BATCH]) for n in windows))
        for i in range(0, len(windows["input"]), BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@torch.inference_mode()
def _embed(
    module: Astromer, x: torch.Tensor, times: torch.Tensor, mask: torch.Tensor
) -> dict[str, Float32]:
    mask = mask[..., 0]
    states = module(x, times[..., 0], mask)
    gamma = torch.full((len(states),), 1.0 / len(states))
    found = {
        "mean_by_layer": torch.stack([masked_mean(state, mask) for state in states], dim=1),
        "max_last": masked_max(states[-1], mask),
        "skip_gamma_init": skip_embedding(states, mask, gamma),
        "reconstruction": module.reconstruct(states[-1]),
    }
    return {name: tensor.numpy() for name, tensor in found.items()}
