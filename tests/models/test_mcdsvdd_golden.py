"""The acceptance tests of the specification (mcdsvdd, section 13) against the reference's data."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest

from models.alerce import FeatureRanges, scale_features
from models.calibration import conformal_p
from models.mcdsvdd import (
    PARITY,
    Autoencoder,
    Body,
    HeadConfig,
    TrainingRows,
    class_centres,
    fit_autoencoder,
    fit_mcdsvdd,
    load_reference,
    reconstruction_error,
    squared_distances,
    svdd_loss,
    take_step,
)
from models.metrics import auroc, average_precision

FOLDER = Path(__file__).parents[3] / "shared" / "reference" / "mcdsvdd"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="reference data are not here")
CONFIG = HeadConfig(inputs=24, widths=(512, 256, 128), latent=8, bounded=True)


def arrays(name):
    with np.load(FOLDER / name) as file:
        return {key: file[key] for key in file.files}


def weights(prefix):
    found = arrays("synth_a/weights.npz")
    return {
        key.removeprefix(f"{prefix}/"): torch.from_numpy(value)
        for key, value in found.items()
        if key.startswith(f"{prefix}/")
    }


def body_of(prefix):
    body = Body(CONFIG)
    load_reference(body.layers, weights(prefix), "enc")
    return body.eval()


def latents_of(body, x):
    with torch.inference_mode():
        return body(torch.from_numpy(x))


def test_feature_scaling_matches_to_the_last_digits():
    found = arrays("preprocess_ztf100.npz")
    table = json.loads((FOLDER / "feature_scaling.json").read_text())
    ranges = FeatureRanges(table["scales"], table["log"], table["clip_and_log"],
                           table["nan_value"])  # fmt: skip
    names = found["raw_columns"].tolist()
    got = scale_features(found["raw"], names, ranges)
    order = [names.index(name) for name in found["out_columns"].tolist()]
    np.testing.assert_allclose(got[:, order], found["out_intended"], rtol=0, atol=1e-12)
    # A row's values do not depend on its batch, unlike in the published code.
    np.testing.assert_array_equal(scale_features(found["raw"][:1], names, ranges), got[:1])
    with pytest.raises(KeyError):
        scale_features(found["raw"][:, :1], ["no_such_feature"], ranges)


def test_centres_loss_and_score_of_hand_made_latents():
    unit = {key: torch.from_numpy(np.asarray(v)) for key, v in arrays("unit.npz").items()}
    centres = class_centres(unit["eps_latents"], unit["eps_labels"], 4)
    torch.testing.assert_close(centres, unit["eps_centers_multi"], rtol=0, atol=1e-6)
    one = class_centres(unit["eps_latents"], torch.zeros_like(unit["eps_labels"]), 1)
    torch.testing.assert_close(one[0], unit["eps_centers_single"], rtol=0, atol=1e-6)
    distances = squared_distances(unit["score_z"], unit["eps_centers_multi"])
    torch.testing.assert_close(distances.amin(1), unit["score_value"], rtol=1e-5, atol=1e-7)
    loss = svdd_loss(unit["score_z"], unit["loss_labels"], unit["eps_centers_multi"])
    assert float(loss) == pytest.approx(float(unit["loss_value"]), rel=1e-5)


@pytest.mark.parametrize("tail", ["light", "heavy", "extreme"])
def test_exact_measures(tail):
    unit = arrays("unit.npz")
    want = json.loads((FOLDER / "unit_metrics.json").read_text())[tail]["exact"]
    inliers, anomalies = unit[f"metric_{tail}_in"], unit[f"metric_{tail}_out"]
    assert auroc(inliers, anomalies) == pytest.approx(want[0], abs=1e-9)
    assert average_precision(inliers, anomalies) == pytest.approx(want[1], abs=1e-9)


def test_forward_pass_centres_and_distances():
    data, want = arrays("synth_a/dataset.npz"), arrays("synth_a/latents.npz")
    body, centres = body_of("mcdsvdd"), arrays("synth_a/centers.npz")
    for part in ("train", "val", "cal", "test"):
        got = latents_of(body, data[f"x_{part}"]).numpy()
        np.testing.assert_allclose(got, want[f"mcdsvdd_{part}"], rtol=0, atol=1e-5)
    deep = latents_of(body_of("deepsvdd"), data["x_test"]).numpy()
    np.testing.assert_allclose(deep, want["deepsvdd_test"], rtol=0, atol=1e-5)
    start = latents_of(body_of("ae"), data["x_train"])
    got = class_centres(start, torch.from_numpy(data["y_train"]), 4).numpy()
    np.testing.assert_allclose(got, centres["init_eval_sequential"], rtol=0, atol=1e-6)
    scores = arrays("synth_a/scores.npz")
    distances = squared_distances(
        latents_of(body, data["x_test"]), torch.from_numpy(centres["test_time_resampled"])
    ).numpy()
    np.testing.assert_allclose(distances, scores["mcdsvdd_sqdist_test_seed0"], rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(distances.argmin(1), scores["mcdsvdd_argmin_test_seed0"])


def test_autoencoder_reconstructs_like_the_reference():
    auto = Autoencoder(CONFIG)
    load_reference(auto.body.layers, weights("ae"), "enc")
    load_reference(auto.decoder, weights("ae"), "dec")
    x = torch.from_numpy(arrays("synth_a/dataset.npz")["x_test"])
    want = arrays("synth_a/latents.npz")["ae_recon_first16"]
    with torch.inference_mode():
        got = auto.eval()(x[:16]).numpy()
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)
    scores = arrays("synth_a/scores.npz")["ae_test_seed0"]
    np.testing.assert_allclose(reconstruction_error(auto, x).numpy(), scores, rtol=1e-4)


def test_eight_training_steps():
    torch.set_num_threads(1)
    want, data = arrays("synth_a/train_steps.npz"), arrays("synth_a/dataset.npz")
    x, y = torch.from_numpy(data["x_train"]), torch.from_numpy(data["y_train"])
    body, centres = body_of("ae"), torch.from_numpy(want["centers"])
    optimiser = torch.optim.AdamW(body.parameters(), PARITY.rate, weight_decay=0.0)
    body.train()
    losses = []
    for rows in torch.from_numpy(want["batch_indices"]).long():
        loss = svdd_loss(body(x[rows]), y[rows], centres)
        losses.append(take_step(body, optimiser, loss, PARITY.clip))
    np.testing.assert_allclose(losses, want["losses"], rtol=1e-4)
    reference = Body(CONFIG)
    after = {
        key.removeprefix("after8/"): torch.from_numpy(value)
        for key, value in want.items()
        if key.startswith("after8/")
    }
    load_reference(reference.layers, after, "enc")
    # Batch norm takes out the bias before it: its gradient is rounding noise, which Adam scales
    # to full steps, another on each machine. The running means follow the biases.
    state, wanted = body.state_dict(), reference.state_dict()
    noise = {"layers.0.bias", "layers.3.bias", "layers.6.bias"}
    for name, tensor in wanted.items():
        if name in noise or name.endswith("running_mean"):
            state[name].copy_(tensor)
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=1e-5)
    got = latents_of(body.eval(), data["x_test"])
    np.testing.assert_allclose(got.numpy(), want["z_test_after8"], rtol=0, atol=1e-5)


def test_conformal_p_values_are_exact():
    want = arrays("synth_a/calibration.npz")
    by_class = np.stack(
        [
            conformal_p(want["sqdist_cal"][want["y_cal"] == k, k], want["sqdist_test"][:, k])
            for k in range(4)
        ],
        axis=1,
    )
    np.testing.assert_array_equal(by_class, want["p_class"])
    np.testing.assert_array_equal(by_class.max(axis=1), want["p_max"])
    marginal = conformal_p(want["sqdist_cal"].min(axis=1), want["sqdist_test"].min(axis=1))
    np.testing.assert_array_equal(marginal, want["p_marginal_minscore"])
    squared = [np.quantile(want["sqdist_cal"][want["y_cal"] == k, k], 0.9) for k in range(4)]
    radii = np.sqrt(squared)
    np.testing.assert_allclose(radii, want["radius_q90"], rtol=1e-12)


def end_to_end(seed):
    """AUROC of MCDSVDD, one-class deep SVDD, autoencoder and isolation forest."""
    data = arrays("synth_a/dataset.npz")
    x, y, x_val, y_val = (
        torch.from_numpy(data[name]) for name in ("x_train", "y_train", "x_val", "y_val")
    )
    weight = 1.0 / np.bincount(data["y_train"])[data["y_train"]]
    rows = TrainingRows(x, y, weight, x_val, y_val)
    plan = PARITY.with_seed(seed)
    auto = fit_autoencoder(rows, CONFIG, plan)
    body, centres = fit_mcdsvdd(rows, CONFIG, plan, auto)
    single = TrainingRows(x, torch.zeros_like(y), weight, x_val, torch.zeros_like(y_val))
    deep, centre = fit_mcdsvdd(single, CONFIG, plan, auto)
    test = torch.from_numpy(data["x_test"])
    scores = {
        "mcdsvdd": squared_distances(latents_of(body, data["x_test"]), centres).amin(1).numpy(),
        "deepsvdd": squared_distances(latents_of(deep, data["x_test"]), centre)[:, 0].numpy(),
        "ae": reconstruction_error(auto, test).numpy(),
        "iforest": -IsolationForest(random_state=seed)
        .fit(data["x_train"])
        .score_samples(data["x_test"]),
    }
    kind = data["y_test"]
    return {
        name: {
            "auroc": auroc(score[kind >= 0], score[kind < 0]),
            "auroc_heldout_class": auroc(score[kind >= 0], score[kind == -1]),
            "auroc_diffuse": auroc(score[kind >= 0], score[kind == -2]),
        }
        for name, score in scores.items()
    }


def test_end_to_end_over_five_seeds():
    torch.set_num_threads(1)
    runs = [end_to_end(seed) for seed in range(5)]
    mean = {
        name: {measure: np.mean([run[name][measure] for run in runs]) for measure in runs[0][name]}
        for name in runs[0]
    }
    assert mean["mcdsvdd"]["auroc"] >= 0.89
    for name in ("deepsvdd", "ae", "iforest"):
        assert mean["mcdsvdd"]["auroc"] > mean[name]["auroc"] + 0.1
    expected = json.loads((FOLDER / "synth_a" / "expected.json").read_text())["runs"]
    for name, measures in mean.items():
        for measure, value in measures.items():
            want = np.mean([run[name][measure] for run in expected])
            assert value == pytest.approx(want, abs=0.05), (name, measure)
