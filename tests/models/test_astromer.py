"""Astromer 1 and 2 against the authors' TensorFlow run, layer by layer.

Tolerances: "suggested test" of the specification's section 12.
"""

import numpy as np
import pytest
import torch

from models.astromer import (
    Astromer,
    AstromerConfig,
    masked_max,
    masked_mean,
    skip_embedding,
)
from models.engine import BUCKETS, padding_copies
from tests.astromer_vectors import golden, module, needs_vectors, stored, tensors

pytestmark = needs_vectors

CURVES = ("syn_transient_8", "ztf19aawgxdn_g_56", "ztf18aauxofy_r_81", "syn_rrab_200")
POOLED = {1: 5e-4, 2: 1e-4}
RECONSTRUCTION = {1: 1e-3, 2: 2e-4}


def step_tolerance(version, layer):
    """Largest difference of a step, and its root mean square."""
    if layer == 0:
        return 2e-4, 2e-4
    if version == 1:
        return (3e-4, 3e-4) if layer == 1 else (3e-3, 1e-4)
    return 5e-4, 2e-5


@pytest.fixture(scope="module", params=[1, 2])
def version(request):
    return request.param


@pytest.fixture(scope="module")
def states(version):
    with torch.inference_mode():
        return module(version)(*tensors(stored("windows")))


@pytest.fixture(scope="module")
def mask():
    return tensors(stored("windows"))[2]


@pytest.mark.parametrize("curve", CURVES)
def test_every_step_of_every_layer(version, states, curve):
    vectors = golden(version)
    row, step = int(vectors[f"full/{curve}/window_row"]), int(vectors[f"full/{curve}/step"])
    for layer, state in enumerate(states):
        name = "embedding" if layer == 0 else f"block_{layer}"
        difference = state[row, ::step].numpy() - vectors[f"full/{curve}/{name}"]
        largest, rms = step_tolerance(version, layer)
        assert np.abs(difference).max() <= largest
        assert np.sqrt((difference**2).mean()) <= rms


@pytest.mark.parametrize("curve", CURVES)
def test_positional_encoding(version, curve):
    vectors = golden(version)
    row, step = int(vectors[f"full/{curve}/window_row"]), int(vectors[f"full/{curve}/step"])
    times = tensors(stored("windows"))[1][row : row + 1, ::step]
    found = module(version).position(times)[0].numpy()
    assert np.abs(found - vectors[f"full/{curve}/pe"]).max() <= 2e-4


def test_pooled_embeddings(version, states, mask):
    vectors = golden(version)
    for layer, state in enumerate(states):
        found = masked_mean(state, mask).numpy()
        tolerance = 2e-4 if layer == 0 else POOLED[version]
        assert np.abs(found - vectors["mean_by_layer"][:, layer]).max() <= tolerance
    found = masked_max(states[-1], mask).numpy()
    assert np.abs(found - vectors["max_last"]).max() <= step_tolerance(version, 2)[0]
    for name, gamma in (
        ("skip_gamma", vectors["gamma"]),
        ("skip_gamma_init", np.full(len(states), 1 / len(states), dtype=np.float32)),
    ):
        found = skip_embedding(states, mask, torch.from_numpy(gamma)).numpy()
        assert np.abs(found - vectors[name]).max() <= POOLED[version]


def test_last_block_and_reconstruction(version, states):
    vectors = golden(version)
    difference = states[-1][:, ::8].numpy() - vectors["last_block_stride8"]
    largest, rms = step_tolerance(version, 2)
    assert np.abs(difference).max() <= largest
    assert np.sqrt((difference**2).mean()) <= rms
    with torch.inference_mode():
        found = module(version).reconstruct(states[-1]).numpy()
    assert np.abs(found - vectors["reconstruction"]).max() <= RECONSTRUCTION[version]


def test_attention_weights(version, states):
    vectors = golden(version)
    row = int(vectors["attention_block1/window_row"])
    encoder = module(version)
    attention = encoder.blocks[0].attention
    with torch.inference_mode():
        x = states[0][row]
        q, k = (f(x).view(200, 4, 64).transpose(0, 1) for f in (attention.query, attention.key))
        bias = encoder.attention_bias(tensors(stored("windows"))[2][row : row + 1])[0]
        found = torch.softmax(q @ k.transpose(1, 2) / 8 + bias, -1)[:, :10].numpy()
    assert np.abs(found - vectors["attention_block1/rows0_10"]).max() <= 1e-5


@pytest.mark.parametrize("rows", [[2], [8], [14], [2, 0], [15, 14, 8, 7, 6, 2]])
def test_any_batch_composition(version, rows):
    with torch.inference_mode():
        x, times, mask = tensors(stored("windows"), rows)
        found = masked_mean(module(version)(x, times, mask)[-1], mask).numpy()
    wanted = golden(version)["mean_by_layer"][rows, -1]
    assert np.abs(found - wanted).max() <= POOLED[version]


def test_every_bucket(version):
    """Shortened to each bucket that holds it, a window keeps its golden embedding."""
    encoder = module(version)
    vectors = golden(version)["mean_by_layer"][:, -1]
    x, times, mask = tensors(stored("windows"))
    n = (1 - mask).sum(1).numpy().astype(int)
    for length in BUCKETS:
        rows = np.flatnonzero((n < length) & (n > length // 4))
        copies = padding_copies(encoder.config, n[rows], length)
        part = (rows, slice(length))
        with torch.inference_mode():
            states = encoder(
                x[part], times[part], mask[part],
                None if copies is None else torch.from_numpy(copies),
            )  # fmt: skip
        found = masked_mean(states[-1], mask[part]).numpy()
        assert np.abs(found - vectors[rows]).max(initial=0.0) <= POOLED[version]


def test_naive_shortening_moves_astromer_1():
    """Why the multiplicity rule is there: dropping padding moves short curves by units."""
    x, times, mask = tensors(stored("windows"), [2])
    with torch.inference_mode():
        state = module(1)(x[:, :8], times[:, :8], mask[:, :8])[-1]
    found = masked_mean(state, mask[:, :8]).numpy()
    assert np.abs(found - golden(1)["mean_by_layer"][2, -1]).max() > 1.0


def test_unpadded_astromer_1_is_free_of_padding():
    config = AstromerConfig(version=1, layers=2, hidden=128, padding="none")
    encoder = Astromer(config).eval()
    encoder.load_state_dict(module(1).state_dict())
    x, times, mask = tensors(stored("windows"), [2])
    copies = torch.from_numpy(padding_copies(config, np.array([8]), 24))
    with torch.inference_mode():
        alone = encoder(x[:, :8], times[:, :8], mask[:, :8])[-1]
        padded = encoder(x[:, :24], times[:, :24], mask[:, :24], copies)[-1][:, :8]
    assert float((alone - padded).abs().max()) <= 1e-4


@pytest.mark.parametrize(
    ("version", "token", "name"),
    [
        (1, None, "a1_reconstruction"),
        (2, None, "a2_reconstruction_no_token"),
        (2, 0.37, "a2_reconstruction_with_token"),
    ],
)
def test_masked_windows(version, token, name):
    """Hidden steps amid a window, with and without the mask token."""
    found = stored("pretraining")
    encoder = module(version)
    if token is not None:
        encoder = Astromer(AstromerConfig(mask_token=True)).eval()
        encoder.load_state_dict(
            {**module(2).state_dict(), "mask_token": torch.tensor([token])}, strict=True
        )
    with torch.inference_mode():
        reconstruction = encoder.reconstruct(encoder(*tensors(found))[-1]).numpy()
    assert np.abs(reconstruction - found[name]).max() <= RECONSTRUCTION[version]


def test_the_published_task_hides_nothing():
    """With real weights, removing the hidden magnitudes hurts: they could be seen."""
    x, times, mask = tensors(stored("pretraining"))
    n = (1 - tensors(stored("windows"))[2]).sum(1)
    hidden = (mask == 1) & (torch.arange(200) < n[:, None])
    wanted = torch.from_numpy(stored("pretraining")["target"])[..., 0]
    error = []
    for shown in (x, x * (1 - hidden.float())[..., None]):
        with torch.inference_mode():
            found = module(1).reconstruct(module(1)(shown, times, mask)[-1])
        error.append(float(((found - wanted)[hidden] ** 2).mean().sqrt()))
    assert error[1] > 1.2 * error[0]
