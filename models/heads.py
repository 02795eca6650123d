"""The trained heads of one view: raw inputs in, score channels, classes and reasons out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.mcdsvdd import Body, HeadConfig
from models.neighbours import References
from models.scaling import AnyScaling, BlendedScaling, Scaling, deviations
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

    `z` (B, D) inputs in robust standard deviations, `typical` (B, D) raw ones of the median inlier;
    `channels` (B, C): log of the mean distance to the nearest training objects in each latent;
    `distances` (B, K) squared distances to the first body's centres; `neighbours` (B, M) classes
    of the nearest training objects in the first body's latent; `input_distance` (B,): mean
    distance to the nearest training inputs, NaN where it was not asked for.
    """

    z: Float32
    typical: Float64
    channels: Float64
    distances: Float64
    neighbours: Int32
    neighbour_distances: Float64
    input_distance: Float64


class ViewHeads:
    """MCDSVDD and classifier bodies over one view, and the training objects near which to look.

    `reference_x` (R, D) standardised inputs, `reference_y` (R,) their classes. Neither ids nor
    times nor magnitudes of training objects are kept. `density`: share of a neighbourhood's own
    scale, in logarithms, that is taken off a distance (0: none, 1: the local outlier factor of
    Breunig et al. 2000).
    """

    def __init__(
        self,
        scaling: AnyScaling,
        svdd: Sequence[Body],
        classifiers: Sequence[Body],
        centres: Tensor,
        reference_x: Tensor,
        reference_y: Tensor,
        density: float = 0.0,
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
        self._density = density
        self._scales = [
            _log_scale(space, r) for space, r in zip(spaces, self._latents, strict=True)
        ]
        self._centres = np.asarray(centres.numpy(), dtype=np.float64)

    @property
    def channel_weight(self) -> Float64:
        """Weight of each channel (C,): directions of MCDSVDD latents count twice."""
        seeds = len(self.svdd)
        weight = np.repeat([1.0, 2.0, 1.0], [seeds, seeds, len(self.classifiers)])
        return np.asarray(weight / weight.sum())

    def __call__(self, raw: Float64, *, inputs: bool) -> ViewOutput:
        """Score raw inputs (B, D); `inputs`: with their own distance."""
        x = self.scaling.apply(raw)
        latents = [_forward(layers, x) for layers in self._layers]
        found = [
            r.nearest(z, min(LATENT_NEIGHBOURS, r.size))
            for z, r in zip(self._spaces(latents), self._latents, strict=True)
        ]
        nearest, index = found[0]
        step = latents[0][:, None, :].astype(np.float64) - self._centres
        channels = log_distance(np.stack([d.mean(axis=1, dtype=np.float64) for d, _ in found], 1))
        if self._density:
            scales = [
                scale[i].mean(axis=1) for scale, (_, i) in zip(self._scales, found, strict=True)
            ]
            channels -= self._density * np.stack(scales, axis=1)
        return ViewOutput(
            z=x if isinstance(self.scaling, Scaling) else deviations(self.scaling, raw),
            typical=np.broadcast_to(self.scaling.median, x.shape),
            channels=channels,
            distances=(step**2).sum(axis=-1),
            neighbours=self._y.numpy()[index].astype(np.int32),
            neighbour_distances=nearest.astype(np.float64),
            input_distance=self._input_distance(x) if inputs else np.full(len(x), np.nan),
        )

    def _input_distance(self, x: Float32) -> Float64:
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
            "density": torch.tensor(self._density, dtype=torch.float64),
        }
        for i, body in enumerate((*self.svdd, *self.classifiers)):
            found |= {f"body.{i}.{key}": value for key, value in body.state_dict().items()}
        return found

    @classmethod
    def from_tensors(
        cls, config: HeadConfig, seeds: int, tensors: Mapping[str, Tensor]
    ) -> "ViewHeads":
        """From the artefact; WeightsError when names or shapes do not fit."""
        scaling = BlendedScaling if "scaling.knots" in tensors else Scaling
        loaded = []
        for i in range(2 * seeds):
            body = Body(config)
            prefix = f"body.{i}."
            fill(body, {k.removeprefix(prefix): v for k, v in tensors.items()
                        if k.startswith(prefix)})  # fmt: skip
            loaded.append(body)
        return cls(
            scaling.from_tensors(tensors), loaded[:seeds], loaded[seeds:], tensors["centres"],
            tensors["reference.x"], tensors["reference.y"].long(), float(tensors["density"]),
        )  # fmt: skip


def log_distance(distance: Float64) -> Float64:
    """Logarithm of distances, as the score's channels have it."""
    return np.log(distance + SMALLEST)


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


def _log_scale(space: Float32, references: References) -> Float64:
    """Logarithm of each reference's mean distance (R,) to its nearest others."""
    away, _ = references.nearest(space, min(LATENT_NEIGHBOURS + 1, references.size))
    others = away[:, min(1, references.size - 1) :]
    return log_distance(others.mean(axis=1, dtype=np.float64))


def _directions(latents: Float32) -> Float32:
    """Unit vectors (N, latent)."""
    length = np.sqrt((latents**2).sum(axis=1, keepdims=True))
    return np.asarray(latents / np.maximum(length, np.float32(1e-6)), dtype=np.float32)
