"""Classification from few labels (P3): is what the heads see useful for classes?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.data import CurveSet
from models.engine import Embedder
from models.inputs import MEASURED, PREDICTED, RawViews, Scaling, views_of
from models.mcdsvdd import HeadConfig, TrainingRows, TrainPlan, fit_classifier
from models.protocols import Protocol, select
from models.recipe import Recipe

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Strings = NDArray[np.str_]

MEMBERS = 5
"""Classifiers per view whose logarithmic probabilities are averaged."""

DRAWS = 2048

SHARES = {MEASURED: 0.8, PREDICTED: 0.2}
"""Weights of the views: those of the fusion at whole curves."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predicted class (N,) of the test curves by name of the training list, as `20_seed0`.

    `unseen` (N,): the test curve is not one of the list, so that its prediction counts.
    """

    test: CurveSet
    predicted: Mapping[str, Strings]
    unseen: Mapping[str, NDArray[np.bool_]]

    def rows(self) -> Iterator[tuple[str, str, str, int, int]]:
        """object, band, predicted class, labels per class, seed."""
        for name, classes in self.predicted.items():
            count, seed = parse_list(name)
            for row, predicted in enumerate(classes.tolist()):
                yield (str(self.test.object_id[row]), str(self.test.band[row]), predicted, count,
                       seed)  # fmt: skip


def parse_list(name: str) -> tuple[int, int]:
    """Labels per class and seed of a training list."""
    count, seed = name.split("_seed")
    return int(count), int(seed)


def classify(
    protocol: Protocol, train: CurveSet, test: CurveSet, embedder: Embedder | None, recipe: Recipe
) -> Predictions:
    """Train on each list, predict every test curve; scalings see all curves, unlabelled."""
    known = [pair for part in (protocol.fit, protocol.val, protocol.cal) for pair in part]
    everything = select(train, known)
    raw, test_raw = views_of(embedder, everything), views_of(embedder, test)
    place = {name: row for row, name in enumerate(everything.object_id.tolist())}
    predicted, unseen = {}, {}
    for name, lists in protocol.train_lists.items():
        classes = sorted(lists)
        pairs = [(place[o], k) for k, label in enumerate(classes) for o in lists[label]]
        rows, y = np.array(pairs, dtype=np.int64).T
        logits = _log_probabilities(raw, rows, y, test_raw, recipe, parse_list(name)[1])
        predicted[name] = np.array(classes)[logits.argmax(axis=1)]
        listed = [o for label in classes for o in lists[label]]
        unseen[name] = ~np.isin(test.object_id, listed)
    return Predictions(test, predicted, unseen)


def _log_probabilities(
    raw: RawViews, rows: Int64, y: Int64, test: RawViews, recipe: Recipe, seed: int
) -> Float64:
    """Weighted sum over views and members of the log probabilities (N, K)."""
    total = np.zeros((len(test.n_points), int(y.max()) + 1))
    weight = (1.0 / np.bincount(y))[y]
    for name, view in raw.views.items():
        scaling = Scaling.of(view)
        x = torch.from_numpy(scaling.apply(view[rows]))
        labels = torch.from_numpy(y)
        training = TrainingRows(x, labels, weight, x, labels)
        for member in range(MEMBERS):
            plan = TrainPlan(seed=100 * seed + member, epochs=25, batch=256, draws=DRAWS)
            config = HeadConfig(x.shape[1], recipe.widths, recipe.latent)
            body, output = fit_classifier(training, config, plan)
            with torch.inference_mode():
                logits = output(body(torch.from_numpy(scaling.apply(test.views[name]))))
                total += SHARES[name] * torch.log_softmax(logits, dim=1).double().numpy()
    return total
