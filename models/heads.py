"""The trained heads: inputs in, score channels, classes and reasons out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.mcdsvdd import Body, HeadConfig, squared_distances
from models.weights import fill

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]

LATENT_NEIGHBOURS = 5
INPUT_NEIGHBOURS = 10
REASONS = 3
CHUNK = 256


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """Per row: channels, classes and neighbours; larger is more anomalous.

    `channels` (B, C): log distances of the ranking channels; `s1` (B,) squared distance to the
    nearest centre; `s_input` (B,) mean distance to the nearest training inputs.
    """

    channels: Float64
    s1: Float64
    s_input: Float64
    nearest: Int32
    second: Int32
    distances: Float64
    neighbours: Int32
    neighbour_distances: Float64


class Heads:
    """MCDSVDD and classifier bodies with the training objects that neighbours are looked for in.

    `reference_x` (R, D) standardised inputs, `reference_y` (R,) their classes. Neither ids nor
    times nor magnitudes of training objects are kept.
    """

    def __init__(
        self,
        config: HeadConfig,
        svdd: Sequence[Body],
        centres: Sequence[Tensor],
        classifiers: Sequence[Body],
        reference_x: Tensor,
        reference_y: Tensor,
    ) -> None:
        self.config = config
        self._svdd, self._centres, self._classifiers = list(svdd), list(centres), list(classifiers)
        self._x, self._y = reference_x, reference_y
        with torch.inference_mode():
            bodies = (*self._svdd, *self._classifiers)
            self._latents = [body.eval()(reference_x) for body in bodies]

    def __call__(self, x: Float32) -> HeadOutput:
        """Score standardised inputs (B, D)."""
        parts = [self._score(torch.from_numpy(x[i : i + CHUNK])) for i in range(0, len(x), CHUNK)]
        return _joined(parts or [self._score(torch.from_numpy(x))])

    def tensors(self) -> dict[str, Tensor]:
        """For the artefact."""
        found = {
            "reference.x": self._x.half(),
            "reference.y": self._y.to(torch.int16),
            **{f"svdd.{i}.centres": c for i, c in enumerate(self._centres)},
        }
        for name, bodies in (("svdd", self._svdd), ("classifier", self._classifiers)):
            for i, body in enumerate(bodies):
                state = body.state_dict()
                found |= {f"{name}.{i}.{key}": value for key, value in state.items()}
        return {name: tensor.contiguous() for name, tensor in found.items()}

    @classmethod
    def from_tensors(cls, config: HeadConfig, seeds: int, tensors: Mapping[str, Tensor]) -> "Heads":
        """From the artefact; WeightsError when names or shapes do not fit."""

        def bodies(name: str) -> list[Body]:
            result = []
            for i in range(seeds):
                prefix = f"{name}.{i}."
                state = {k.removeprefix(prefix): v for k, v in tensors.items()
                         if k.startswith(f"{prefix}layers.")}  # fmt: skip
                body = Body(config)
                fill(body, state)
                result.append(body.eval())
            return result

        return cls(
            config,
            bodies("svdd"),
            [tensors[f"svdd.{i}.centres"] for i in range(seeds)],
            bodies("classifier"),
            tensors["reference.x"].float(),
            tensors["reference.y"].long(),
        )

    def _score(self, x: Tensor) -> HeadOutput:
        with torch.inference_mode():
            bodies = (*self._svdd, *self._classifiers)
            latents = [body(x) for body in bodies]
            found = [
                _nearest(z, r, LATENT_NEIGHBOURS)
                for z, r in zip(latents, self._latents, strict=True)
            ]
            channels = torch.stack([d.mean(1).clamp(min=1e-9).log() for d, _ in found], dim=1)
            distances = squared_distances(latents[0], self._centres[0])
            order = distances.argsort(1)
            input_distance, _ = _nearest(x, self._x, INPUT_NEIGHBOURS)
            near_d, near_i = found[len(self._svdd)]
        return HeadOutput(
            channels=channels.double().numpy(),
            s1=distances.amin(1).double().numpy(),
            s_input=input_distance.mean(1).double().numpy(),
            nearest=order[:, 0].int().numpy(),
            second=order[:, min(1, order.shape[1] - 1)].int().numpy(),
            distances=distances.double().numpy(),
            neighbours=self._y[near_i].int().numpy(),
            neighbour_distances=near_d.double().numpy(),
        )


def _nearest(x: Tensor, reference: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances and indices of the nearest reference rows (B, count).

    Through exact differences, not dot products: a row's result must not depend on its batch.
    """
    distance = torch.cdist(x, reference, compute_mode="donot_use_mm_for_euclid_dist")
    found = distance.topk(min(count, len(reference)), dim=1, largest=False)
    return found.values, found.indices


def _joined(parts: Sequence[HeadOutput]) -> HeadOutput:
    if len(parts) == 1:
        return parts[0]
    names = HeadOutput.__dataclass_fields__
    return HeadOutput(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
