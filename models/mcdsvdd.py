"""Multi-class deep SVDD: one centre per inlier class, distance to the nearest is the score.

Source: Perez-Carrasco et al. 2023 (arXiv 2308.05011); differences from the published code are
those of the specification (section 11): centres from one pass in evaluation mode, persisted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

CENTRE_MARGIN = 0.01
"""Components of a centre nearer to zero than this are pushed away from it."""


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """Body of a head: `inputs` -> widths -> `latent`, batch norm and LeakyReLU between."""

    inputs: int
    widths: tuple[int, ...] = (256, 128, 64)
    latent: int = 32


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """Epochs at most, patience and rates; `seed` decides everything random."""

    seed: int = 0
    autoencoder_epochs: int = 15
    epochs: int = 40
    patience: int = 8
    batch: int = 512
    rate: float = 5e-4
    weight_decay: float = 1e-6


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
        self.decoder = nn.Sequential(*layers, nn.Linear(sizes[-1], config.inputs))

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


def fit_mcdsvdd(
    x: Tensor, y: Tensor, weight: Float64, x_val: Tensor, y_val: Tensor, config: HeadConfig,
    plan: TrainPlan,
) -> tuple[Body, Tensor]:  # fmt: skip
    """Train body and centres (K = labels' maximum + 1); K = 1 is one-class deep SVDD.

    `weight` (N,): how often each row is drawn. Early stopping on the class-balanced loss of
    the validation rows.
    """
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    auto = Autoencoder(config)
    _train_autoencoder(auto, x, weight, plan, rng)
    body, classes = auto.body, int(y.max()) + 1
    body.eval()
    with torch.no_grad():
        centres = class_centres(body(x), y, classes)

    def loss(rows: Tensor) -> Tensor:
        return svdd_loss(body(x[rows]), y[rows], centres)

    def validate() -> float:
        with torch.no_grad():
            own = ((body(x_val) - centres[y_val]) ** 2).sum(1)
            return _class_balanced(own, y_val)

    _train(body, body.parameters(), loss, validate, weight, plan, rng)
    return body, centres


def fit_classifier(
    x: Tensor, y: Tensor, weight: Float64, x_val: Tensor, y_val: Tensor, config: HeadConfig,
    plan: TrainPlan,
) -> Body:  # fmt: skip
    """A body of the same size, trained to classify; its latent is as good for neighbours."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    body = Body(config)
    output = nn.Linear(config.latent, int(y.max()) + 1)

    def loss(rows: Tensor) -> Tensor:
        return functional.cross_entropy(output(body(x[rows])), y[rows], label_smoothing=0.05)

    def validate() -> float:
        with torch.no_grad():
            own = functional.cross_entropy(output(body(x_val)), y_val, reduction="none")
            return _class_balanced(own, y_val)

    parameters = [*body.parameters(), *output.parameters()]
    _train(body, iter(parameters), loss, validate, weight, plan, rng, decay=1e-2)
    return body


def _class_balanced(loss: Tensor, y: Tensor) -> float:
    """Mean over the classes that occur of each one's mean loss."""
    return float(np.mean([float(loss[y == k].mean()) for k in sorted(set(y.tolist()))]))


def _train_autoencoder(
    auto: Autoencoder, x: Tensor, weight: Float64, plan: TrainPlan, rng: np.random.Generator
) -> None:
    optimiser = torch.optim.Adam(auto.parameters(), lr=plan.rate)
    auto.train()
    for _ in range(plan.autoencoder_epochs):
        for rows in _draws(rng, weight, plan.batch):
            optimiser.zero_grad()
            functional.mse_loss(auto(x[rows]), x[rows]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()


def _train(
    body: Body, parameters: Iterator[nn.Parameter], loss: Callable[[Tensor], Tensor],
    validate: Callable[[], float],
    weight: Float64, plan: TrainPlan, rng: np.random.Generator, decay: float | None = None,
) -> None:  # fmt: skip
    """Epochs of weighted draws with early stopping; the best state is restored."""
    optimiser = torch.optim.AdamW(
        parameters, lr=plan.rate, weight_decay=plan.weight_decay if decay is None else decay
    )
    best, waited = float("inf"), 0
    state = {name: t.clone() for name, t in body.state_dict().items()}
    for _ in range(plan.epochs):
        body.train()
        for rows in _draws(rng, weight, plan.batch):
            optimiser.zero_grad()
            loss(rows).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(body.parameters(), 1.0)
            optimiser.step()
        body.eval()
        value = validate()
        waited = 0 if value < best else waited + 1
        if value < best:
            best, state = value, {n: t.clone() for n, t in body.state_dict().items()}
        if waited > plan.patience:
            break
    body.load_state_dict(state)
    body.eval()


def _draws(rng: np.random.Generator, weight: Float64, batch: int) -> Iterator[Tensor]:
    """One epoch of weighted draws with replacement, without a short last batch."""
    rows = rng.choice(len(weight), len(weight), p=weight / weight.sum())
    for start in range(0, len(rows) - batch + 1, batch):
        yield torch.from_numpy(rows[start : start + batch])
    if len(rows) < batch:
        yield torch.from_numpy(rows)
