"""The trained heads of one view: raw inputs in, score channels, classes and reasons out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.inputs import Scaling
from models.mcdsvdd import Body, HeadConfig
from models.neighbours import References
from models.weights import fill

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

LATENT_NEIGHBOURS = 5
INPUT_NEIGHBOURS = 10
SMALLEST = 1e-6
"""Distance below which a logarithm sees no difference."""


@dataclass(frozen=True, slots=True)
class ViewOutput:
    """Per row of a view; larger is more anomalous.

    `x` (B, D) standardised inputs; `channels` (B, C): log of the mean distance to the nearest
    training objects in each latent; `distances` (B, K) squared distances to the first
    body's centres; `neighbours` (B, M) classes of the nearest training objects in the first
    body's latent.
    """

    x: Float32
    channels: Float64
    distances: Float64
    neighbours: Int32
    neighbour_distances: Float64


class ViewHeads:
    """MCDSVDD and classifier bodies over one view, and the training objects near which to look.

    `reference_x` (R, D) standardised inputs, `reference_y` (R,) their classes. Neither ids nor
    times nor magnitudes of training objects are kept.
    """

    def __init__(
        self,
        scaling: Scaling,
        svdd: Sequence[Body],
        classifiers: Sequence[Body],
        centres: Tensor,
        reference_x: Tensor,
        reference_y: Tensor,
    ) -> None:
        self.scaling, self.centres = scaling, centres
        self.svdd, self.classifiers = list(svdd), list(classifiers)
        # Half precision is what the artefact keeps: scores must not change by saving.
        self._x, self._y = reference_x.half().float(), reference_y
        x = self._x.numpy()
        self._layers = [_folded(body.eval()) for body in (*self.svdd, *self.classifiers)]
        self._inputs = References.of(x)
        spaces = self._spaces([_forward(layers, x) for layers in self._layers])
        self._latents = [References.of(space) for space in spaces]
        self._centres = np.asarray(centres.numpy(), dtype=np.float64)

    @property
    def channels(self) -> int:
        """Number of score channels."""
        return len(self._latents)

    def __call__(self, raw: Float64) -> ViewOutput:
        """Score raw inputs (B, D)."""
        x = self.scaling.apply(raw)
        latents = [_forward(layers, x) for layers in self._layers]
        found = [
            r.nearest(z, min(LATENT_NEIGHBOURS, r.size))
            for z, r in zip(self._spaces(latents), self._latents, strict=True)
        ]
        near, index = found[0]
        step = latents[0][:, None, :].astype(np.float64) - self._centres
        means = [d.mean(axis=1, dtype=np.float64) for d, _ in found]
        return ViewOutput(
            x=x,
            channels=np.log(np.stack(means, axis=1) + SMALLEST),
            distances=(step**2).sum(axis=-1),
            neighbours=self._y.numpy()[index].astype(np.int32),
            neighbour_distances=near.astype(np.float64),
        )

    def input_distance(self, x: Float32) -> Float64:
        """Mean distance (B,) of standardised inputs to the nearest training inputs."""
        away, _ = self._inputs.nearest(x, min(INPUT_NEIGHBOURS, self._inputs.size))
        return np.asarray(away.mean(axis=1, dtype=np.float64))

    def _spaces(self, latents: Sequence[Float32]) -> list[Float32]:
        """Where neighbours are looked for: MCDSVDD latents as they are, then all as directions.

        What lies between prototypes differs in direction, what lies outside of all in length.
        """
        return [*latents[: len(self.svdd)], *(_directions(z) for z in latents)]

    def latents(self, raw: Float64, body: int) -> Float64:
        """Latents (B, latent) of one body."""
        return _forward(self._layers[body], self.scaling.apply(raw)).astype(np.float64)

    def tensors(self) -> dict[str, Tensor]:
        """For the artefact."""
        found = {
            **self.scaling.tensors(),
            "centres": self.centres,
            "reference.x": self._x.half(),
            "reference.y": self._y.to(torch.int16),
        }
        for i, body in enumerate((*self.svdd, *self.classifiers)):
            found |= {f"body.{i}.{key}": value for key, value in body.state_dict().items()}
        return {name: tensor.contiguous() for name, tensor in found.items()}

    @classmethod
    def from_tensors(
        cls, config: HeadConfig, seeds: int, tensors: Mapping[str, Tensor]
    ) -> "ViewHeads":
        """From the artefact; WeightsError when names or shapes do not fit."""
        loaded = []
        for i in range(2 * seeds):
            body = Body(config)
            prefix = f"body.{i}."
            fill(body, {k.removeprefix(prefix): v for k, v in tensors.items()
                        if k.startswith(prefix)})  # fmt: skip
            loaded.append(body)
        return cls(
            Scaling.from_tensors(tensors), loaded[:seeds], loaded[seeds:], tensors["centres"],
            tensors["reference.x"], tensors["reference.y"].long(),
        )  # fmt: skip


Layers = Sequence[tuple[Tensor, Tensor]]


def _folded(body: Body) -> Layers:
    """Weights (out, in) and biases of a body, batch norm folded into the layer before it."""
    layers = []
    modules = list(body.layers)
    for i, module in enumerate(modules):
        if not isinstance(module, nn.Linear):
            continue
        weight, bias = module.weight.detach(), torch.zeros(module.out_features)
        if module.bias is not None:
            bias = module.bias.detach()
        norm = modules[i + 1] if i + 1 < len(modules) else None
        if isinstance(norm, nn.BatchNorm1d):
            mean, variance = norm.running_mean, norm.running_var
            assert mean is not None
            assert variance is not None
            gain = norm.weight.detach() / torch.sqrt(variance + norm.eps)
            weight, bias = weight * gain[:, None], (bias - mean) * gain + norm.bias.detach()
        layers.append((weight.contiguous(), bias))
    return layers


def _forward(layers: Layers, x: Float32) -> Float32:
    """Latents (N, latent)."""
    with torch.inference_mode():
        z = torch.from_numpy(x)
        for i, (weight, bias) in enumerate(layers):
            z = functional.linear(z, weight, bias)
            if i < len(layers) - 1:
                z = functional.leaky_relu(z, 0.01)
    return np.ascontiguousarray(z.numpy())


def _directions(latents: Float32) -> Float32:
    """Unit vectors (N, latent)."""
    length = np.sqrt((latents**2).sum(axis=1, keepdims=True))
    return np.asarray(latents / np.maximum(length, np.float32(1e-6)), dtype=np.float32)
