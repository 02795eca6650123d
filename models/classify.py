"""Classification from few labels (P3): is what the heads see useful for classes?

Extremely randomised trees (Geurts, Ernst and Wehenkel 2006) on the measured features, or on an
embedding where there is nothing else. On validation curves they are 3 to 7 points of macro F1
better than the heads' own bodies with a softmax; adding the encoder's view made them worse.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from models.data import CurveSet
from models.inputs import MEASURED, RawViews, Views
from models.metrics import macro_f1
from models.protocols import Protocol, select

Float64 = NDArray[np.float64]
Strings = NDArray[np.str_]

TREES = 500
TRIED = 12
"""Inputs that a split chooses among."""

MISSING = -99.0
"""What stands for a missing input: far from every value, so that a split can tell it apart."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predicted class (N,) of the test curves by name of the training list, as `20_seed0`."""

    test: CurveSet
    predicted: Mapping[str, Strings]

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


def classify(protocol: Protocol, train: CurveSet, test: CurveSet, views: Views) -> Predictions:
    """Train on each list, predict every test curve.

    A listed object that is tested trains nothing: leaving it out of the test instead would empty
    the rare classes, whose objects the long lists hold almost all.
    """
    lists_of = protocol.train_lists
    listed_of_all = {o for lists in lists_of.values() for chosen in lists.values() for o in chosen}
    wanted = listed_of_all - set(test.object_id.tolist())
    known = [pair for part in (protocol.fit, protocol.val, protocol.cal) for pair in part
             if pair[0] in wanted]  # fmt: skip
    listed = select(train, known)
    x, x_test = forest_inputs(views(listed)), forest_inputs(views(test))
    place = {name: row for row, name in enumerate(listed.object_id.tolist())}
    predicted = {}
    for name, lists in lists_of.items():
        classes = sorted(lists)
        pairs = [(place[o], k) for k, label in enumerate(classes) for o in lists[label]
                 if o in place]  # fmt: skip
        rows, y = np.array(pairs, dtype=np.int64).T
        trees = ExtraTreesClassifier(TREES, max_features=TRIED, class_weight="balanced",
                                     random_state=parse_list(name)[1])  # fmt: skip
        predicted[name] = np.array(classes)[trees.fit(x[rows], y).predict(x_test)]
    return Predictions(test, predicted)


def forest_inputs(raw: RawViews) -> Float64:
    """The measured view, else the only one there is (N, D); finite."""
    view = raw.views.get(MEASURED, next(iter(raw.views.values())))
    return np.nan_to_num(view, nan=MISSING)


def f1_by_list(protocol: Protocol, found: Predictions) -> dict[int, list[tuple[float, float]]]:
    """Macro F1 over all and over merged classes, by labels per class, one pair per draw."""
    merge = np.vectorize(lambda label: protocol.merge[str(label)])
    values: dict[int, list[tuple[float, float]]] = {}
    for name, classes in found.predicted.items():
        truth = found.test.label
        pair = (macro_f1(truth, classes), macro_f1(merge(truth), merge(classes)))
        values.setdefault(parse_list(name)[0], []).append(pair)
    return values
