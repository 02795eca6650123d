"""P3: classes from few labels, counted on curves that trained nothing."""

from dataclasses import replace

import numpy as np
import pytest

from models.classify import classify, f1_by_list
from models.inputs import views_of
from models.protocols import CLASSES, Protocol
from models.simulate import simulate_curves
from models.tables import class_table

KINDS = ("ECL", "LPV", "RRL")


@pytest.fixture(scope="module")
def curves():
    return simulate_curves(11, 240, list(KINDS))


@pytest.fixture(scope="module")
def protocol(curves):
    pairs = list(zip(curves.object_id.tolist(), curves.band.tolist(), strict=True))
    chosen = {kind: curves.object_id[curves.group == kind][:20].tolist() for kind in KINDS}
    return Protocol(
        name=CLASSES, fit=pairs[:160], val=pairs[160:200], cal=pairs[200:], classes=KINDS,
        merge=dict(zip(curves.label.tolist(), curves.group.tolist(), strict=True)),
        lengths=(), train_lists={"20_seed0": chosen, "20_seed1": chosen}, min_points={},
        reference=(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def unseen(curves):
    return curves.take(np.arange(160, len(curves)))


@pytest.fixture(scope="module")
def predictions(curves, protocol, unseen):
    return classify(protocol, curves, unseen, lambda part: views_of(None, part))


def test_few_labels_tell_classes_apart(predictions, unseen):
    assert (predictions.predicted["20_seed0"] == unseen.group).mean() > 0.8


def test_a_tested_curve_trains_nothing(curves, protocol, unseen):
    # With every list wrong about them, the tested curves are still told apart.
    lists = {kind: [*chosen, *unseen.object_id[unseen.group != kind][:9].tolist()]
             for kind, chosen in protocol.train_lists["20_seed0"].items()}  # fmt: skip
    wrong = replace(protocol, train_lists={"20_seed0": lists})
    with_wrong, without = (
        classify(p, curves, unseen, lambda part: views_of(None, part)).predicted["20_seed0"]
        for p in (wrong, protocol)
    )
    np.testing.assert_array_equal(with_wrong, without)


def test_the_same_seed_predicts_the_same(curves, protocol, predictions, unseen):
    again = classify(protocol, curves, unseen, lambda part: views_of(None, part))
    np.testing.assert_array_equal(again.predicted["20_seed0"], predictions.predicted["20_seed0"])


def test_every_prediction_is_a_row_and_the_table_has_its_mean(protocol, predictions, unseen):
    rows = list(predictions.rows())
    assert len(rows) == 2 * len(unseen)
    assert {row[3:] for row in rows} == {(20, 0), (20, 1)}
    mean = 100 * np.mean([pair[0] for pair in f1_by_list(protocol, predictions)[20]])
    assert f"| 20 | {mean:.1f} +-" in class_table(protocol, predictions)
