"""Golden batches: stored answers that a loaded model must give again."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from models.artifact import ArtifactError, verify, write_sums
from models.convert import load_any
from models.embed import TOLERANCES, embed_windows, read_windows
from models.scorer import Scorer
from models.simulate import simulate_curves
from models.weights import WeightsError, write_tensors

GOLDEN_FILE = "golden.safetensors"
CURVES = 64
SEED = 20_260_101
RELATIVE = 1e-4
"""Scores of the same curve agree to this share on any machine (design: replay)."""


def write_golden(directory: Path) -> None:
    """Store the answers of an artefact to simulated curves, and renew its digests."""
    verify(directory)
    curves = simulate_curves(SEED, CURVES)
    inputs: dict[str, NDArray[Any]] = {
        "offsets": curves.offsets,
        "jd": curves.time,
        "mag": curves.mag,
        "err": curves.err,
        "kind": curves.apparent.astype(np.uint8),
    }
    answers = _answers(Scorer.load(directory, "cpu"), inputs)
    tensors = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in (inputs | answers).items()}
    write_tensors(directory / GOLDEN_FILE, tensors)
    write_sums(directory)


def check_artifact(directory: Path) -> dict[str, Any]:
    """Digests, weights and golden batch of an artefact; raises ArtifactError, WeightsError."""
    digest = verify(directory)
    scorer = Scorer.load(directory, "cpu")
    if not (directory / GOLDEN_FILE).exists():
        return {"sha256": digest, "golden_curves": 0, "largest_difference": {}}
    # Times need their float64.
    stored = {name: t.numpy() for name, t in load_file(directory / GOLDEN_FILE).items()}
    worst = {}
    for name, answer in _answers(scorer, stored).items():
        scale = np.maximum(np.abs(stored[name]), 1.0)
        worst[name] = float((np.abs(answer - stored[name]) / scale).max())
        if not worst[name] <= RELATIVE:
            raise ArtifactError(f"golden batch: {name} differs by {worst[name]:.2g}")
    return {"sha256": digest, "golden_curves": len(stored["kind"]), "largest_difference": worst}


def _answers(scorer: Scorer, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    scores = scorer.score(*(inputs[name] for name in ("offsets", "jd", "mag", "err", "kind")))
    return {
        "embedding": scores.embedding.astype(np.float64),
        "score": scores.score,
        "s1": scores.s1,
        "s_input": scores.s_input,
    }


def check_vectors(weights: Path, windows: Path, golden: Path) -> dict[str, Any]:
    """Compare an encoder with stored vectors of the authors' code, within their tolerances."""
    module = load_any(weights)
    found = embed_windows(module, read_windows(windows))
    worst = {}
    with np.load(golden, allow_pickle=False) as stored:
        for name, tolerance in TOLERANCES[module.config.version].items():
            if name not in stored.files or stored[name].shape != found[name].shape:
                raise WeightsError(f"{golden}: {name} is missing or not {found[name].shape}")
            worst[name] = float(np.abs(found[name] - stored[name]).max())
            if not worst[name] <= tolerance:
                raise WeightsError(
                    f"{name} differs from {golden} by {worst[name]:.2g}, allowed {tolerance:g}"
                )
    return {"windows": len(found["max_last"]), "largest_difference": worst}
