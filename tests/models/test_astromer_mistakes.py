"""Every typical mistake of a re-implementation is far outside of the tolerances.

The list is the specification's (astromer, section 12). A wrong LayerNorm epsilon hides below
float32's noise in the outputs, so it has a test of its own.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from models.astromer import Astromer, masked_mean
from tests.astromer_vectors import golden, module, needs_vectors, stored, tensors

pytestmark = needs_vectors

POOLED = {1: 5e-4, 2: 1e-4}


def pooled_error(encoder, version, *, first_point=False):
    x, times, mask = tensors(stored("windows"))
    if first_point:
        times = (times - times[:, :1]) * (1 - mask)
    with torch.inference_mode():
        found = masked_mean(encoder(x, times, mask)[-1], mask).float().numpy()
    return np.abs(found - golden(version)["mean_by_layer"][:, -1]).max()


def omega(power):
    channel = torch.arange(256, dtype=torch.float64)
    return lambda encoder: encoder.register_buffer("omega", power(channel).float())


def sine_half(encoder):
    def position(times):
        angle = times[..., None] * encoder.omega
        return torch.cat([torch.sin(angle[..., ::2]), torch.cos(angle[..., 1::2])], -1)

    encoder.position = position


def bias(function):
    def change(encoder):
        encoder.attention_bias = lambda mask, _copies: function(mask)

    return change


def scale(encoder):
    for block in encoder.blocks:
        block.attention.query.weight.data *= 0.5
        block.attention.query.bias.data *= 0.5


def untransposed(encoder):
    for layer in encoder.modules():
        if isinstance(layer, nn.Linear) and layer.in_features == layer.out_features:
            layer.weight.data = layer.weight.data.T.contiguous()


def identity_shortcut(encoder):
    for block in encoder.blocks:
        for leak in (block.leak1, block.leak2):
            leak.weight.data = torch.eye(256)
            leak.bias.data.zero_()


def rounded(dtype):
    def change(encoder):
        for parameter in encoder.parameters():
            parameter.data = parameter.data.to(dtype).float()

    return change


BOTH = {
    "frequencies by pair": omega(lambda i: 10000 ** (-2 * torch.floor(i / 2) / 256)),
    "sines first, cosines after": sine_half,
    "base 1000": omega(lambda i: 1000 ** (-2 * i / 256)),
    "no mask": bias(lambda mask: torch.zeros_like(mask)[:, None, None, :]),
    "scaled by the width": scale,
    "square kernels untransposed": untransposed,
    "weights in float16": rounded(torch.float16),
    "weights in bfloat16": rounded(torch.bfloat16),
}
ONE = {"mask of minus 1e9": bias(lambda mask: (-1e9 * mask)[:, None, None, :])}
ONE["mask on keys alone"] = bias(lambda mask: mask[:, None, None, :])
TWO = {
    "mask of plus 1": bias(lambda mask: mask[:, None, None, :]),
    "identity shortcut": identity_shortcut,
}
CASES = [(v, name) for v in (1, 2) for name in BOTH] + [(1, n) for n in ONE] + [(2, n) for n in TWO]


@pytest.mark.parametrize(("version", "name"), CASES)
def test_mistake_is_caught(version, name):
    encoder = copy.deepcopy(module(version))
    (BOTH | ONE | TWO)[name](encoder)
    assert pooled_error(encoder, version) > 2 * POOLED[version]


@pytest.mark.parametrize("version", [1, 2])
def test_the_right_model_passes(version):
    assert pooled_error(module(version), version) <= POOLED[version]


@pytest.mark.parametrize("version", [1, 2])
def test_times_from_the_first_point_are_caught(version):
    assert pooled_error(module(version), version, first_point=True) > 1.0


@pytest.mark.parametrize("version", [1, 2])
def test_relu_is_caught(version, monkeypatch):
    monkeypatch.setattr(torch, "tanh", torch.relu)
    assert pooled_error(module(version), version) > 1.0


@pytest.mark.parametrize("version", [1, 2])
def test_layer_norm_epsilon(version):
    """At a variance near epsilon the constant decides: 1e-5 and 1e-3 differ by much."""
    encoder = Astromer(module(version).config).double()
    x = torch.linspace(-1, 1, 256, dtype=torch.float64)
    x = 1e-3 * (x - x.mean())
    wanted = x / torch.sqrt((x**2).mean() + 1e-6)
    norms = [layer for layer in encoder.modules() if isinstance(layer, nn.LayerNorm)]
    assert len(norms) == 2 * encoder.config.layers + 1
    for norm in norms:
        assert torch.allclose(norm(x), wanted, atol=1e-9)
