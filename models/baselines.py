"""What the detector is compared with, on the same inputs: every table shows them."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest

from models.detector import Detector
from models.heads import ViewOutput
from models.inputs import MEASURED, PREDICTED, RIVAL, RawViews
from models.mcdsvdd import (
    HeadConfig,
    TrainingRows,
    fit_autoencoder,
    fit_mcdsvdd,
    reconstruction_error,
    squared_distances,
)
from models.recipe import LabelledViews, Recipe, fit_alone
from models.scaling import Scaling

Float64 = NDArray[np.float64]

Scoring = Mapping[str, Float64]
ROWS = (
    "packaged recipe",
    "hand-made features, same heads",
    "encoder alone, same heads",
    "MCDSVDD s1 (features)",
    "MCDSVDD 5-NN (features)",
    "input kNN (features)",
    "isolation forest (features)",
    "one-class deep SVDD (features)",
    "autoencoder (features)",
    "Astromer + MCDSVDD s1",
    "Astromer, same heads",
)


class Baselines:
    """Rivals that were trained on the same rows as a detector."""

    def __init__(
        self, detector: Detector, fit: LabelledViews, val: LabelledViews, recipe: Recipe, seed: int
    ) -> None:
        self._detector = detector
        self._scaling = Scaling.of(fit.raw.views[MEASURED])
        x, x_val = (self._scaling.apply(part.raw.views[MEASURED]) for part in (fit, val))
        self._forest = IsolationForest(random_state=seed).fit(x)
        zeros, zeros_val = (torch.zeros(len(t), dtype=torch.int64) for t in (x, x_val))
        rows = TrainingRows(torch.from_numpy(x), zeros, fit.weight, torch.from_numpy(x_val),
                            zeros_val)  # fmt: skip
        config = HeadConfig(x.shape[1], recipe.widths, recipe.latent)
        plan = recipe.plan.with_seed(1000 * seed)
        self._auto = fit_autoencoder(rows, config, plan)
        self._deep, self._centre = fit_mcdsvdd(rows, config, plan, self._auto)
        self._rival = None
        if RIVAL in fit.raw.views:
            self._rival = fit_alone(RIVAL, fit, val, recipe, seed)

    def __call__(self, raw: RawViews) -> Scoring:
        """Scores (N,) by row of the table."""
        found = self._detector(raw)
        measured = found.by_view[MEASURED]
        inputs = self._scaling.apply(raw.views[MEASURED])
        x = torch.from_numpy(inputs)
        with torch.inference_mode():
            deep = squared_distances(self._deep(x), self._centre)[:, 0].double().numpy()
        scores = {
            "packaged recipe": found.score,
            "MCDSVDD s1 (features)": found.s1,
            "MCDSVDD 5-NN (features)": measured.channels[:, 0],
            "input kNN (features)": found.s_input,
            "isolation forest (features)": -self._forest.score_samples(inputs),
            "one-class deep SVDD (features)": deep,
            "autoencoder (features)": reconstruction_error(self._auto, x).double().numpy(),
            "hand-made features, same heads": self._alone(MEASURED, measured, raw),
        }
        if PREDICTED in found.by_view:
            scores["encoder alone, same heads"] = self._alone(
                PREDICTED, found.by_view[PREDICTED], raw
            )
        if self._rival is not None:
            s1, fused = self._rival(raw)
            scores |= {"Astromer + MCDSVDD s1": s1, "Astromer, same heads": fused}
        return {name: scores[name] for name in ROWS if name in scores}

    def _alone(self, view: str, output: ViewOutput, raw: RawViews) -> Float64:
        return self._detector.score_of(view, output, raw.n_points)
