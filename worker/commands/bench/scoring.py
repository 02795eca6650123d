"""The scorer of a benchmark: the artefact, the full-size Astromer 2 in its place, or a stub."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.commands.bench.crew import Scoring
from worker.settings import Settings
from worker.types.scores import Scorer

Float32 = NDArray[np.float32]


class FullSize:
    """The published Astromer 2 (6 layers, width 256) in front of the artefact's heads.

    Its weights are random and its output is cut to what the heads take: scores mean nothing,
    their cost is that of the full size.
    """

    def __init__(self, embedder: Any, dim: int) -> None:
        self.full, self.dim, self.window = embedder, dim, embedder.window

    def warm_up(self) -> None:
        """As the embedder's."""
        self.full.warm_up()

    def embed(self, offsets: Any, jd: Any, mag: Any, err: Any) -> Float32:
        """The first channels of the full-size embedding."""
        return np.ascontiguousarray(self.full.embed(offsets, jd, mag, err)[:, : self.dim])


def make_scorer(settings: Settings, scoring: Scoring, *, fast: bool = True) -> Scorer:
    """The scorer, warmed up; `fast`: bfloat16 for the full size where the hardware has it."""
    if scoring == "stub":
        from worker.commands.bench.stub import StubScorer

        return StubScorer()
    import models.inputs
    from worker.commands.wiring import load_scorer

    scorer = load_scorer(settings)
    if scoring == "no-period":
        vars(models.inputs)["period_features"] = _no_periods
    if scoring == "astromer2":
        import torch

        from models.astromer import ASTROMER_2, Astromer
        from models.engine import Embedder, Precision

        torch.manual_seed(1)
        precision: Precision = "bf16" if fast and has_matrix_units() else "fp32"
        embedder = Embedder(Astromer(ASTROMER_2), scorer.device, precision)
        full = FullSize(embedder, scorer._embedder.dim)  # noqa: SLF001 - a part is exchanged
        scorer._embedder = full  # type: ignore[assignment]  # noqa: SLF001 - same
        scorer.name, scorer.version = f"astromer2-{precision}", "random weights"
        scorer.warm_up()
    return scorer


def _no_periods(offsets: Any, *_: Any) -> Any:
    from models.features import PERIOD_NAMES

    return np.full((len(offsets) - 1, len(PERIOD_NAMES)), np.nan)


def has_matrix_units() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware."""
    import torch

    if torch.cuda.is_available():
        return True
    return bool(torch.cpu._is_amx_tile_supported())  # noqa: SLF001 - no public name yet
