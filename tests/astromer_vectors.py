"""The authors' reference vectors, read in place; tests that need them are skipped without."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from models.convert import load_any

REFERENCE = Path("../shared/reference/astromer")
CHECKPOINTS = {1: "a1/checkpoint_macho_a0/weights", 2: "a2/checkpoint_random/weights"}

needs_vectors = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the shared reference vectors are not here"
)


def weights(version):
    return REFERENCE / f"a{version}" / "weights.npz"


@lru_cache(maxsize=2)
def module(version):
    """Astromer 1 with its real weights, 2 with the reference's; not to be changed."""
    return load_any(weights(version))


@lru_cache(maxsize=2)
def golden(version):
    with np.load(REFERENCE / f"a{version}" / "golden.npz") as file:
        return {name: file[name] for name in file.files}


@lru_cache(maxsize=2)
def stored(name):
    with np.load(REFERENCE / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def tensors(found, rows=slice(None)):
    """x, times, mask of stored windows."""
    x, times, mask = (torch.from_numpy(found[n][rows]) for n in ("input", "times", "mask_in"))
    return x, times[..., 0], mask[..., 0]
