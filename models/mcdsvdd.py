"""Multi-class deep SVDD: one centre per inlier class, distance to the nearest is the score.

Source: Perez-Carrasco et al. 2023 (arXiv 2308.05011); differences from the published code are
those of the specification (section 11): centres from one pass in evaluation mode, persisted.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

CENTRE_MARGIN = 0.01
"""Components of a centre nearer to zero than this are pushed away from it."""

CLASSIFIER_DECAY = 1e-2


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """Body of a head: `inputs` -> widths -> `latent`, batch norm and LeakyReLU between.

    `bounded`: the decoder ends in tanh, as the reference's does.
    """

    inputs: int
    widths: tuple[int, ...] = (128, 64)
    latent: int = 16
    bounded: bool = False


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """Epochs at most, patience and rates; `seed` decides everything random.

    `draws`: rows of an epoch, all without. `clip`: largest norm of a gradient. `balanced`:
    early stopping looks at the mean over classes, not over objects. `average`: early stopping sees
    and keeps the average of the weights over the latest steps, see `_latest`.
    """

    seed: int = 0
    autoencoder_epochs: int = 20
    epochs: int = 40
    patience: int = 8
    batch: int = 512
    draws: int | None = None
    rate: float = 1e-3
    weight_decay: float = 1e-6
    clip: float | None = 1.0
    balanced: bool = True
    average: bool = True

    def with_seed(self, seed: int) -> "TrainPlan":
        """The same training from another seed."""
        return replace(self, seed=seed)


PARITY = TrainPlan(
    autoencoder_epochs=200, epochs=200, patience=30, batch=256, rate=5e-4, weight_decay=0.0,
    clip=None, balanced=False, average=False,
)  # fmt: skip
"""The reference's training (its settings for `synth_a`)."""


class Body(nn.Module):
    """The encoder of a head; its last layer has no bias (Ruff et al. 2018, proposition 2)."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        sizes = (config.inputs, *config.widths)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(0.01)]
        layers.append(nn.Linear(sizes[-1], config.latent, bias=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Latents (N, latent) of inputs (N, D)."""
        latents: Tensor = self.layers(x)
        return latents


class Autoencoder(nn.Module):
    """Body and a mirrored decoder; only used to start the body."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.body = Body(config)
        sizes = (config.latent, *reversed(config.widths))
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(0.01)]
        layers.append(nn.Linear(sizes[-1], config.inputs))
        self.decoder = nn.Sequential(*layers, *([nn.Tanh()] if config.bounded else []))

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction (N, D)."""
        reconstruction: Tensor = self.decoder(self.body(x))
        return reconstruction


def class_centres(latents: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean latent per class (K, latent), components kept away from zero; exact zeros stay."""
    centres = torch.stack([latents[labels == k].mean(0) for k in range(classes)])
    near = (centres.abs() < CENTRE_MARGIN) & (centres != 0)
    return torch.where(near, CENTRE_MARGIN * centres.sign(), centres)


def squared_distances(latents: Tensor, centres: Tensor) -> Tensor:
    """Squared Euclidean distance to every centre (N, K)."""
    return ((latents[:, None, :] - centres[None]) ** 2).sum(-1)


def svdd_loss(latents: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    """Mean squared distance to the own class's centre."""
    return ((latents - centres[labels]) ** 2).sum(1).mean()


def load_reference(module: nn.Sequential, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Fill a body's or decoder's layers from the reference's names; prefix `enc` or `dec`."""
    linear = [i for i, layer in enumerate(module) if isinstance(layer, nn.Linear)]
    norms = [i for i, layer in enumerate(module) if isinstance(layer, nn.BatchNorm1d)]
    names = {f"{prefix}{k}.": f"{i}." for k, i in enumerate(linear, 1)}
    names |= {f"{prefix}bn{k}.": f"{i}." for k, i in enumerate(norms, 1)}
    module.load_state_dict(
        {
            ours + name.removeprefix(theirs): value
            for theirs, ours in names.items()
            for name, value in tensors.items()
            if name.startswith(theirs)
        }
    )


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Standardised inputs and labels; `weight` (N,): how often a training row is drawn."""

    x: Tensor
    y: Tensor
    weight: Float64
    x_val: Tensor
    y_val: Tensor


def fit_autoencoder(rows: TrainingRows, config: HeadConfig, plan: TrainPlan) -> Autoencoder:
    """Train an autoencoder on balanced draws; early stopping on the validation rows."""
    torch.manual_seed(plan.seed)
    auto = Autoencoder(config)

    def loss(drawn: Tensor) -> Tensor:
        return functional.mse_loss(auto(rows.x[drawn]), rows.x[drawn])

    def validate() -> float:
        return float(functional.mse_loss(auto(rows.x_val), rows.x_val))

    optimiser = torch.optim.Adam(auto.parameters(), lr=plan.rate)
    _train(auto, optimiser, loss, validate, rows.weight, plan, plan.autoencoder_epochs)
    return auto


def reconstruction_error(auto: Autoencoder, x: Tensor) -> Tensor:
    """Sum of squared errors over the inputs (N,): the autoencoder's own score."""
    with torch.inference_mode():
        error: Tensor = ((auto(x) - x) ** 2).sum(1)
        return error


def fit_mcdsvdd(
    rows: TrainingRows, config: HeadConfig, plan: TrainPlan, start: Autoencoder | None = None
) -> tuple[Body, Tensor]:
    """Train body and centres (K = labels' maximum + 1); K = 1 is one-class deep SVDD.

    `start`: a trained autoencoder, else one is trained.
    """
    auto = start or fit_autoencoder(rows, config, plan)
    body, classes = Body(config), int(rows.y.max()) + 1
    body.load_state_dict(auto.body.state_dict())
    body.eval()
    with torch.inference_mode():
        centres = class_centres(body(rows.x), rows.y, classes)
    centres = centres.clone()

    def loss(drawn: Tensor) -> Tensor:
        return svdd_loss(body(rows.x[drawn]), rows.y[drawn], centres)

    def validate() -> float:
        own = ((body(rows.x_val) - centres[rows.y_val]) ** 2).sum(1)
        return _mean(own, rows.y_val, balanced=plan.balanced)

    torch.manual_seed(plan.seed)
    optimiser = torch.optim.AdamW(body.parameters(), plan.rate, weight_decay=plan.weight_decay)
    _train(body, optimiser, loss, validate, rows.weight, plan, plan.epochs)
    return body, centres


def fit_classifier(
    rows: TrainingRows, config: HeadConfig, plan: TrainPlan
) -> tuple[Body, nn.Linear]:
    """A body of the same size, trained to classify; its latent is as good for neighbours."""
    torch.manual_seed(plan.seed)
    body = Body(config)
    output = nn.Linear(config.latent, int(rows.y.max()) + 1)
    whole = nn.Sequential(body, output)

    def loss(drawn: Tensor) -> Tensor:
        return functional.cross_entropy(whole(rows.x[drawn]), rows.y[drawn], label_smoothing=0.05)

    def validate() -> float:
        own = functional.cross_entropy(whole(rows.x_val), rows.y_val, reduction="none")
        return _mean(own, rows.y_val, balanced=plan.balanced)

    optimiser = torch.optim.AdamW(whole.parameters(), plan.rate, weight_decay=CLASSIFIER_DECAY)
    _train(whole, optimiser, loss, validate, rows.weight, plan, plan.epochs)
    return body, output


def take_step(module: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor,
              clip: float | None) -> float:  # fmt: skip
    """One step down a loss; returns its value before the step."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    if clip is not None:
        nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimiser.step()
    return float(loss.detach())


def _mean(loss: Tensor, y: Tensor, *, balanced: bool) -> float:
    """Mean over objects, or over the classes that occur of each one's mean."""
    if not balanced:
        return float(loss.mean())
    return float(np.mean([float(loss[y == k].mean()) for k in sorted(set(y.tolist()))]))


def _train(
    module: nn.Module, optimiser: torch.optim.Optimizer, loss: Callable[[Tensor], Tensor],
    validate: Callable[[], float], weight: Float64, plan: TrainPlan, epochs: int,
) -> None:  # fmt: skip
    """Epochs of weighted draws with early stopping; the best state is restored."""
    rng = np.random.default_rng(plan.seed)
    moving = _latest if plan.average else _last
    averaged = AveragedModel(module, avg_fn=moving, use_buffers=True)
    best, waited, state = float("inf"), 0, _state(module)
    for _ in range(epochs):
        module.train()
        for drawn in _draws(rng, weight, plan.batch, plan.draws or len(weight)):
            take_step(module, optimiser, loss(drawn), plan.clip)
            averaged.update_parameters(module)
        newest = _state(module)
        module.load_state_dict(averaged.module.state_dict())
        module.eval()
        with torch.no_grad():
            value = validate()
        waited = 0 if value < best else waited + 1
        if value < best:
            best, state = value, _state(module)
        if waited > plan.patience:
            break
        module.load_state_dict(newest)
    module.load_state_dict(state)
    module.eval()


def _latest(average: Tensor, newest: Tensor, steps: Tensor | int) -> Tensor:
    """An average of the weights over the latest tenth of all steps, or so.

    The rate stays constant, and so the weights never come to rest (polynomial-decay averaging,
    eta = 8: Shamir and Zhang 2013).
    """
    return average + (newest - average) * (9.0 / (9.0 + steps))


def _last(_average: Tensor, newest: Tensor, _steps: Tensor | int) -> Tensor:
    return newest


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _draws(rng: np.random.Generator, weight: Float64, batch: int, count: int) -> Iterator[Tensor]:
    """One epoch of weighted draws with replacement; a short last batch is left out."""
    rows = rng.choice(len(weight), count, p=weight / weight.sum())
    batch = min(batch, count)
    for start in range(0, count - batch + 1, batch):
        yield torch.from_numpy(rows[start : start + batch])
