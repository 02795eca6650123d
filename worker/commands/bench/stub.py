"""A scorer that costs nothing: what the worker can do when scoring is no limit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import PValues
from models.scorer import Scores

CLASSES = ("A", "B", "C", "D", "E")
REASONS = 3
NEIGHBOURS = 5
WIDTH = 16

Float64 = NDArray[np.float64]


class StubScorer:
    """Scores are pure functions of the window, evenly spread; everything is calibrated."""

    name, version, sha256, window = "stub", "0", "0" * 64, 200
    classes: Sequence[str] = CLASSES
    input_names: Sequence[str] = tuple(f"input_{n}" for n in range(WIDTH))

    def is_calibrated(self, _survey: str) -> bool:
        """Every survey is."""
        return True

    def warm_up(self) -> None:
        """There is nothing to warm."""

    def score(self, offsets: Any, _jd: Any, mag: Float64, _err: Any, kind: Any) -> Scores:
        """The fractional part of the summed magnitudes, times a thousand."""
        count = len(kind)
        total = np.add.reduceat(mag, offsets[:-1]) if count else np.empty(0)
        score = (1000.0 * total) % 1.0
        index = np.zeros(count, dtype=np.int32)
        reasons, near = np.zeros((count, REASONS)), np.zeros((count, NEIGHBOURS))
        return Scores(
            score=score, s1=score, s_input=score, nearest=index, second=index + 1,
            distances=np.zeros((count, len(CLASSES))), top_inputs=reasons.astype(np.int32),
            top_values=reasons, top_typical=reasons, top_z=reasons,
            neighbours=near.astype(np.int32), neighbour_distances=near,
            embedding=np.zeros((count, WIDTH), dtype=np.float32),
        )  # fmt: skip

    def p_values(self, _survey: str, _kind: Any, _n_points: Any, scores: Any) -> PValues:
        """As if scores were uniform; the tenth of it, for the percentile of `field.assignments`."""
        p, count = 0.1 * (1.0 - scores.score), len(scores.score)
        return PValues(
            p=p, p_class=p, p_input=np.ones(count), p_provisional=np.full(count, np.nan),
            extrapolated=np.zeros(count, dtype=bool), n_cal=np.full(count, 1000, dtype=np.int32),
            calibration_sha256=["0" * 64] * count,
        )  # fmt: skip
