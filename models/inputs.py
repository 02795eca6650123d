"""From curves to the inputs of the heads: two views, each standardised by itself.

`measured`: side features and period block of what is there. `predicted`: the encoder's output.
They are never concatenated: noisy measured features would drown the encoder's on short curves
(specification: science, section 5). Each view has heads of its own; their scores are fused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data import CurveSet
from models.engine import Embedder
from models.features import PERIOD_NAMES, SIDE_NAMES, period_features, side_features
from models.memo import PeriodMemo

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

MEASURED, PREDICTED, RIVAL = "measured", "predicted", "rival"
"""Names of views; the rival's is another encoder's embedding and only ever compared with."""

MEASURED_NAMES = (*SIDE_NAMES, *PERIOD_NAMES)


@dataclass(frozen=True, slots=True)
class RawViews:
    """What the heads see of N curves, before scaling; `views` by name (N, D), NaN = missing."""

    views: Mapping[str, Float64]
    n_points: Int64

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "RawViews":
        """These rows of every view."""
        return RawViews({k: v[rows] for k, v in self.views.items()}, self.n_points[rows])


def raw_views(
    embedder: Embedder | None,
    offsets: Int64,
    jd: Float64,
    mag: Float64,
    err: Float64,
    memo: PeriodMemo | None = None,
) -> RawViews:
    """Views of B ragged curves; without an encoder only the measured one."""
    side = side_features(offsets, jd, mag, err)
    period = period_features(offsets, jd, mag, err, memo)
    views = {MEASURED: np.concatenate([side, period], axis=1)}
    if embedder is not None:
        views[PREDICTED] = embedder.embed(offsets, jd, mag, err).astype(np.float64)
    return RawViews(views, np.diff(offsets))


def views_of(embedder: Embedder | None, curves: CurveSet) -> RawViews:
    """Views of a set of curves."""
    return raw_views(embedder, curves.offsets, curves.time, curves.mag, curves.err)


Views = Callable[[CurveSet], RawViews]
"""What makes the views of a set of curves."""


def evaluated_views(embedder: Embedder, rival: Embedder | None) -> Views:
    """Views of the recipe, and the rival encoder's where there is one."""

    def views(curves: CurveSet) -> RawViews:
        found = views_of(embedder, curves)
        if rival is None:
            return found
        return RawViews({**found.views, RIVAL: embedding(rival, curves)}, found.n_points)

    return views


def embedding(embedder: Embedder, curves: CurveSet) -> Float64:
    """An encoder's embedding (N, D) of a set of curves."""
    found = embedder.embed(curves.offsets, curves.time, curves.mag, curves.err)
    return found.astype(np.float64)
