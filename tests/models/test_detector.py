"""A detector trained on simulated curves: rows, batches, seeds, bad input, saving, checks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from models.detector import Detector
from models.fusion import NODES, Fusion, channel_weights
from models.heads import ViewHeads
from models.inputs import MEASURED, RawViews, views_of
from models.mcdsvdd import (
    CLASSIFIER_DECAY,
    Body,
    HeadConfig,
    TrainingRows,
    TrainPlan,
    fit_classifier,
    take_step,
)
from models.neighbours import References
from models.recipe import Recipe, draw_weights, fit_detector, labelled, training_views
from models.sanity import FitError, check_detector
from models.simulate import simulate_curves

CLASSES = ("ECL", "LPV", "RRL", "SN")
RECIPE = Recipe(seeds=1, pieces=1, plan=TrainPlan(draws=2048, epochs=12, autoencoder_epochs=4))


def labelled_curves(seed, count):
    curves = simulate_curves(seed, count, CLASSES, min_points=12)
    passes = training_views(None, curves, RECIPE, seed)
    y = np.searchsorted(CLASSES, curves.group)
    weight = draw_weights(curves.group, curves.survey)
    return curves, labelled(passes, np.arange(len(curves)), y, weight)


@pytest.fixture(scope="module")
def parts():
    torch.set_num_threads(1)
    return labelled_curves(1, 450), labelled_curves(2, 240)


@pytest.fixture(scope="module")
def detector(parts):
    return fit_detector(parts[0][1], parts[1][1], CLASSES, RECIPE, 0)


@pytest.fixture(scope="module")
def views():
    return views_of(None, simulate_curves(3, 60))


def test_a_row_equals_itself_alone(detector, views):
    together = detector(views)
    for row in range(0, 60, 7):
        alone = detector(views.take(np.array([row])))
        np.testing.assert_allclose(alone.score[0], together.score[row], atol=1e-5)
        np.testing.assert_allclose(alone.s1[0], together.s1[row], rtol=1e-4, atol=1e-7)
        assert alone.nearest[0] == together.nearest[row]


@pytest.mark.parametrize("average", [False, True])
def test_what_stays_of_an_epoch_is_the_last_state_or_the_average_of_the_latest(average):
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    y = torch.from_numpy(rng.integers(0, 3, 640))
    x = torch.from_numpy(rng.normal(size=(640, 8)).astype(np.float32)) + y[:, None]
    plan = TrainPlan(epochs=1, batch=32, average=average)
    config = HeadConfig(8, (16,), 4)
    body, output = fit_classifier(TrainingRows(x, y, np.ones(640), x, y), config, plan)
    torch.manual_seed(0)
    again = nn.Sequential(Body(config), nn.Linear(4, 3))
    optimiser = torch.optim.AdamW(again.parameters(), plan.rate, weight_decay=CLASSIFIER_DECAY)
    drawn = np.random.default_rng(0).choice(640, 640, p=np.full(640, 1 / 640))
    kept = torch.zeros(3, 4)
    for step, rows in enumerate(np.split(drawn, 20), 1):
        loss = functional.cross_entropy(again(x[rows]), y[rows], label_smoothing=0.05)
        take_step(again, optimiser, loss, plan.clip)
        share = 9 / (8 + step) if average else 1.0
        kept += share * (again[1].weight.detach() - kept)
    torch.testing.assert_close(output.weight.detach(), kept)
    assert not body.training


def test_a_curve_is_scored_by_the_heads_of_its_length(detector, views):
    tensors = detector.tensors()
    changed = {name: 1.5 * tensor if name.startswith(f"{MEASURED}.1.body") else tensor
               for name, tensor in tensors.items()}  # fmt: skip
    other = Detector.from_tensors(CLASSES, detector.record(), changed)
    long = views.n_points >= 40
    assert 5 < long.sum() < 55
    same = np.isclose(other(views).s1, detector(views).s1, rtol=1e-6)
    np.testing.assert_array_equal(same, ~long)


def test_a_class_without_long_curves_trains_with_its_short_ones(parts):
    def without(rows):
        long = (rows.y == 0) & (rows.raw.n_points >= 40)
        return replace(rows, weight=np.where(long, 0.0, rows.weight))

    fit, val = (without(part[1]) for part in parts)
    found = fit_detector(fit, val, CLASSES, RECIPE, 0)
    assert found.heads[MEASURED].stages[1].centres.shape[0] == len(CLASSES)
    assert np.isfinite(found(val.raw).distances).all()


def test_what_lies_far_outside_of_all_inputs_adds_to_the_score():
    rng = np.random.default_rng(6)
    inputs, n = rng.normal(size=(500, 1)), np.full(500, 50)
    fusion = Fusion.of(inputs, n, np.ones((len(NODES), 1)))
    added = fusion.excess(np.array([-9.0, 0.0, 4.0, 5.0]), np.full(4, 50))
    assert added[:2].tolist() == [0.0, 0.0]
    assert added[3] - added[2] == pytest.approx(0.2 / fusion.spread[0, 0])


def test_density_is_taken_off_in_proportion_to_the_neighbourhood(detector):
    staged = detector.heads[MEASURED]
    heads, tensors = staged.stages[1], staged.stages[1].tensors()
    plain, relative = (
        ViewHeads.from_tensors(staged.config, RECIPE.seeds,
                               {**tensors, "density": torch.tensor(d, dtype=torch.float64)})
        for d in (0.0, 1.0)
    )  # fmt: skip
    raw = np.random.default_rng(1).normal(size=(60, staged.config.inputs))
    taken = plain(raw, inputs=False).channels - relative(raw, inputs=False).channels
    # Brute force for the first channel: latents of the first body as they are.
    with torch.inference_mode():
        r = heads.svdd[0](tensors["reference.x"].float()).double().numpy()
    z = heads.latents(raw, 0)
    own = np.sort(np.sqrt(((r[:, None] - r) ** 2).sum(-1)), axis=1)[:, 1:6].mean(axis=1)
    near = np.argsort(((z[:, None] - r) ** 2).sum(-1), axis=1)[:, :5]
    np.testing.assert_allclose(taken[:, 0], np.log(own[near] + 1e-6).mean(axis=1), atol=1e-3)


def test_reasons_are_in_robust_standard_deviations(detector, views):
    found, raw = detector(views), views.views[MEASURED]
    for row in np.flatnonzero(views.n_points >= 40)[:5].tolist():
        scaling = detector.heads[MEASURED].stages[1].scaling
        z = np.clip((raw[row] - scaling.median) / scaling.spread, -5, 5)
        np.testing.assert_allclose(found.top_z[row], z[found.top_inputs[row]], rtol=1e-5)
        np.testing.assert_array_equal(found.top_typical[row],
                                      scaling.median[found.top_inputs[row]])  # fmt: skip


def test_an_empty_batch_has_no_rows(detector, views):
    found = detector(views.take(np.array([], dtype=np.int64)))
    assert found.score.shape == (0,)
    assert found.distances.shape == (0, len(CLASSES))
    assert found.top_inputs.shape == (0, 3)
    assert found.neighbours.shape == (0, 5)


def test_the_same_seed_gives_the_same_detector(detector, parts, views):
    again = fit_detector(parts[0][1], parts[1][1], CLASSES, RECIPE, 0)
    np.testing.assert_array_equal(again(views).score, detector(views).score)
    other = fit_detector(parts[0][1], parts[1][1], CLASSES, RECIPE, 1)
    assert np.abs(other(views).score - detector(views).score).max() > 1e-3


def test_saving_changes_nothing(detector, views):
    loaded = Detector.from_tensors(CLASSES, detector.record(), detector.tensors())
    np.testing.assert_allclose(loaded(views).score, detector(views).score, atol=1e-6)
    np.testing.assert_array_equal(loaded(views).nearest, detector(views).nearest)


def test_nothing_of_the_survey_enters_the_score(detector, parts):
    curves = parts[1][0]
    moved = replace(curves, mag=curves.mag + 3.0, time=curves.time - 1234.0)
    before, after = (detector(views_of(None, c)).score for c in (curves, moved))
    np.testing.assert_allclose(after, before, atol=2e-3)


def test_missing_and_constant_inputs_have_a_finite_score(detector):
    inputs = detector.heads[MEASURED].config.inputs
    raw = np.stack([np.zeros(inputs), np.full(inputs, np.nan)])
    assert np.isfinite(detector(RawViews({MEASURED: raw}, np.array([1, 5]))).score).all()


def test_an_unknown_class_of_curve_is_stranger_than_inliers(detector):
    inliers = detector(views_of(None, simulate_curves(5, 150, CLASSES[:2], min_points=45))).score
    odd = simulate_curves(6, 40, ("two-state binary", "winking pair"), min_points=45)
    assert np.median(detector(views_of(None, odd)).score) > np.quantile(inliers, 0.8)


def test_sanity_checks_pass_and_fail(detector, parts):
    held_out = parts[1][1]
    found = check_detector(detector, held_out)
    assert found["separation"] > 1
    shuffled = replace(held_out, y=np.random.default_rng(0).permutation(held_out.y))
    with pytest.raises(FitError, match=r"separation|accuracy"):
        check_detector(detector, shuffled)


def test_two_classes_in_one_place_fail_the_fit(detector, parts):
    name = f"{MEASURED}.1.centres"
    tensors = {**detector.tensors(), name: detector.heads[MEASURED].stages[1].centres.clone()}
    tensors[name][1] = tensors[name][0] + 0.01
    with pytest.raises(FitError, match="smallest_gap"):
        check_detector(Detector.from_tensors(CLASSES, detector.record(), tensors), parts[1][1])


@pytest.mark.parametrize(("size", "spread"), [(3, 1.0), (90, 1.0), (1000, 0.05), (1800, 3.0)])
def test_nearest_agrees_with_brute_force(size, spread):
    # Clusters as trained latents have, so that leaves are left out; some points far from all.
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(7, 6))
    r = (centres[np.arange(size) % 7] + spread * rng.normal(size=(size, 6))).astype(np.float32)
    x = np.concatenate([r[:30] + 0.01, 5 * rng.normal(size=(40, 6))]).astype(np.float32)
    references, count = References.of(r), min(5, size)
    distance, index = references.nearest(x, count)
    full = np.sqrt(((x[:, None] - r) ** 2).sum(-1))
    np.testing.assert_array_equal(index, np.argsort(full, axis=1)[:, :count])
    np.testing.assert_allclose(distance, np.sort(full, axis=1)[:, :count], rtol=1e-5)
    for row in range(0, len(x), 9):
        alone, _ = references.nearest(x[row : row + 1], count)
        np.testing.assert_array_equal(alone[0], distance[row])


def test_equal_references_are_all_found():
    r = np.repeat(np.eye(4, dtype=np.float32), 50, axis=0)
    distance, index = References.of(r).nearest(r[:1], 20)
    np.testing.assert_array_equal(distance, 0.0)
    assert len(set(index[0].tolist())) == 20


def test_fusion_makes_inliers_alike_at_every_length():
    rng = np.random.default_rng(5)
    n = np.exp(rng.uniform(np.log(5), np.log(300), 6000)).astype(np.int64)
    channels = rng.normal(size=(6000, 2)) * (1 + 5 / n[:, None]) - np.log(n)[:, None]
    weight = channel_weights([(np.ones(len(NODES)), np.ones(1))] * 2)
    score = Fusion.of(channels, n, weight)(channels, n)
    short, long = score[n < 12], score[n > 150]
    assert abs(np.median(short) - np.median(long)) < 0.3
    assert 0.6 < short.std() / long.std() < 1.6
