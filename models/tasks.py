"""What an encoder is trained to do: each task draws a batch and returns its loss.

properties: from a random piece of a curve, predict side and period features of the whole curve,
label-free. masked: reconstruct probed magnitudes as published, which hidden steps still carry
in their own input. hidden: the same with hidden magnitudes really removed. classes: supervised,
class-balanced.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.astromer import Astromer, AstromerConfig
from models.data import CurveSet, random_pieces
from models.features import PERIOD_NAMES, SIDE_NAMES, period_features, side_features
from models.masking import loss_weights, mask_window, masked_r2, masked_rmse
from models.windows import model_inputs, newest

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

TARGET_NAMES = (*SIDE_NAMES, *PERIOD_NAMES)
CLIP = 4.0
"""Targets are clipped to this many robust standard deviations."""

MAGNITUDE_CHANNELS = 2
"""Input channels that tell the magnitude; a third one tells the error alone."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """Random pieces of curves, centred and padded to the longest of them.

    rows (B,): their curves; x (B, T, C), times (B, T), visible (B, T), err (B, T) [mag].
    """

    rows: Int64
    x: Float32
    times: Float32
    visible: NDArray[np.bool_]
    err: Float32


@dataclass(frozen=True, slots=True)
class Draw:
    """How batches are drawn: points of a batch, lengths in points, chance of each curve."""

    points: int
    shortest: int
    longest: int
    weight: Float64

    def pieces(self, rng: np.random.Generator, curves: CurveSet, config: AstromerConfig) -> Pieces:
        """Pieces of one common length range."""
        longest = int(np.exp(rng.uniform(np.log(self.shortest), np.log(self.longest + 1))))
        count = max(8, min(1024, self.points // longest))
        rows = rng.choice(len(curves), count, p=self.weight)
        low = max(self.shortest, longest * 2 // 3)
        return padded_pieces(random_pieces(rng, curves.take(rows), low, longest), rows, config)


def padded_pieces(pieces: CurveSet, rows: Int64, config: AstromerConfig) -> Pieces:
    """The newest window of each curve, padded to the longest."""
    index, offsets = newest(pieces.offsets, config.window)
    err = pieces.err[index]
    x, times = model_inputs(offsets, pieces.time[index], pieces.mag[index], err, config.channels)
    n = np.diff(offsets)
    visible = np.arange(n.max()) < n[:, None]
    found = Pieces(
        rows,
        np.zeros((*visible.shape, x.shape[1]), dtype=np.float32),
        np.zeros(visible.shape, dtype=np.float32),
        visible,
        np.zeros(visible.shape, dtype=np.float32),
    )
    found.x[visible], found.times[visible], found.err[visible] = x, times, err
    return found


class Task(Protocol):
    """A batch's loss, by the step's own random numbers."""

    @property
    def names(self) -> list[str]:
        """Of the embedding that the task trains."""

    @property
    def head(self) -> nn.Module | None:
        """What is trained beside the encoder."""

    def loss(self, module: Astromer, rng: np.random.Generator) -> tuple[Tensor, float]:
        """The loss, and the explained variance where the task has one (else NaN)."""


class PropertyTask:
    """Predict properties of the whole curve from a piece of it."""

    head = None

    def __init__(self, curves: CurveSet, draw: Draw, properties: Float64 | None = None) -> None:
        """`properties` (N, targets): as `whole_curve_properties` finds, where they are known."""
        self.names = list(TARGET_NAMES)
        self._curves, self._draw = curves, draw
        known = whole_curve_properties(curves) if properties is None else properties
        self._targets = standardised(known)

    def loss(self, module: Astromer, rng: np.random.Generator) -> tuple[Tensor, float]:
        """Smooth L1 over the targets that exist."""
        pieces = self._draw.pieces(rng, self._curves, module.config)
        device = module.embed.weight.device
        want = torch.from_numpy(self._targets[pieces.rows]).to(device)
        with _autocast(device):
            got = module.summary(*_inputs(pieces, device))
        known = ~torch.isnan(want)
        return nn.functional.smooth_l1_loss(got.float()[known], want[known]), float("nan")


class MaskedTask:
    """Reconstruct the magnitudes of probed points."""

    head = None

    def __init__(
        self, curves: CurveSet, draw: Draw, *, remove: bool, weighted: bool, width: int
    ) -> None:
        self.names = [f"state_{i}" for i in range(width)]
        self._curves, self._draw = curves, draw
        self._remove, self._weighted = remove, weighted

    def loss(self, module: Astromer, rng: np.random.Generator) -> tuple[Tensor, float]:
        """The authors' root mean square at probed points, and R2 there."""
        pieces = self._draw.pieces(rng, self._curves, module.config)
        wanted = pieces.x[..., 0].copy()
        mask, probed = self._hide(rng, pieces)
        device = module.embed.weight.device
        tensors = [torch.from_numpy(a).to(device) for a in (pieces.x, pieces.times, mask)]
        with _autocast(device):
            found = module.reconstruct(module(*tensors)[-1]).float()
        want, where = torch.from_numpy(wanted).to(device), torch.from_numpy(probed).to(device)
        weight = self._weights(pieces, device) if self._weighted else None
        with torch.no_grad():
            explained = float(masked_r2(found, want, where))
        return masked_rmse(found, want, where, weight), explained

    def _hide(self, rng: np.random.Generator, pieces: Pieces) -> tuple[Float32, Float32]:
        """Mask and probed points (B, T); changes the magnitudes that are shown."""
        mask = np.ones(pieces.times.shape, dtype=np.float32)
        probed = np.zeros(pieces.times.shape, dtype=np.float32)
        for row, n in enumerate(pieces.visible.sum(1).tolist()):
            masks = mask_window(rng, n)
            shown = pieces.x[row, masks.shown, :MAGNITUDE_CHANNELS]
            if self._remove:
                shown[masks.hidden] = 0.0
            pieces.x[row, :n, :MAGNITUDE_CHANNELS] = shown
            mask[row, :n], probed[row, :n] = masks.hidden, masks.probed
        return mask, probed

    def _weights(self, pieces: Pieces, device: torch.device) -> Tensor:
        lengths = pieces.visible.sum(1).tolist()
        steps = pieces.err.shape[1]
        rows = [loss_weights(e[:n], steps) for e, n in zip(pieces.err, lengths, strict=True)]
        return torch.from_numpy(np.stack(rows)).to(device)


class ClassTask:
    """Tell the classes of pieces apart; every class is drawn equally often."""

    def __init__(self, curves: CurveSet, draw: Draw, names: list[str], size: int) -> None:
        self.classes, index = np.unique(curves.group, return_inverse=True)
        self.names = names
        self.head: nn.Module = nn.Linear(size, len(self.classes))
        self._curves, self._draw = curves, draw
        self._class = torch.from_numpy(index.astype(np.int64))

    def loss(self, module: Astromer, rng: np.random.Generator) -> tuple[Tensor, float]:
        """Cross-entropy."""
        pieces = self._draw.pieces(rng, self._curves, module.config)
        device = module.embed.weight.device
        with _autocast(device):
            logits = self.head(module.summary(*_inputs(pieces, device)))
        want = self._class[pieces.rows].to(device)
        return nn.functional.cross_entropy(logits.float(), want), float("nan")

    @torch.inference_mode()
    def recall(self, module: Astromer, curves: CurveSet) -> float:
        """Mean share of each class's curves (newest window) that is recognised."""
        device = module.embed.weight.device
        hits: dict[str, list[bool]] = {}
        for start in range(0, len(curves), 64):
            rows = np.arange(start, min(start + 64, len(curves)))
            pieces = padded_pieces(curves.take(rows), rows, module.config)
            best = self.head(module.summary(*_inputs(pieces, device))).argmax(1).cpu().numpy()
            for row, guess in zip(rows.tolist(), best.tolist(), strict=True):
                truth = str(curves.group[row])
                hits.setdefault(truth, []).append(str(self.classes[guess]) == truth)
        return float(np.mean([np.mean(found) for found in hits.values()]))


def make_task(
    name: Literal["properties", "masked", "hidden"],
    curves: CurveSet,
    draw: Draw,
    *,
    weighted: bool,
    size: int,
    properties: Float64 | None = None,
) -> Task:
    """A label-free task by its name; `size`: length of the encoder's summary."""
    if name == "properties":
        return PropertyTask(curves, draw, properties)
    return MaskedTask(curves, draw, remove=name == "hidden", weighted=weighted, width=size)


def whole_curve_properties(curves: CurveSet) -> Float64:
    """Side and period features of whole curves (N, targets); NaN where one is undefined."""
    arrays = (curves.offsets, curves.time, curves.mag, curves.err)
    return np.concatenate([side_features(*arrays), period_features(*arrays)], axis=1)


def standardised(raw: Float64) -> Float32:
    """Targets (N, targets): in robust standard deviations from the median, clipped."""
    middle = np.nanmedian(raw, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(raw - middle), axis=0)
    scaled = np.clip((raw - middle) / np.maximum(spread, 1e-6), -CLIP, CLIP)
    return np.asarray(scaled, dtype=np.float32)


def by_survey(curves: CurveSet) -> Float64:
    """Surveys are drawn with weight 1 / sqrt(size), so that the largest doesn't rule."""
    _, inverse, counts = np.unique(curves.survey, return_inverse=True, return_counts=True)
    weight = 1.0 / np.sqrt(counts[inverse])
    return np.asarray(weight / weight.sum())


def by_class(curves: CurveSet) -> Float64:
    """Every class equally often."""
    _, inverse, counts = np.unique(curves.group, return_inverse=True, return_counts=True)
    weight = 1.0 / counts[inverse]
    return np.asarray(weight / weight.sum())


def _inputs(pieces: Pieces, device: torch.device) -> list[Tensor]:
    mask = 1.0 - pieces.visible.astype(np.float32)
    return [torch.from_numpy(a).to(device) for a in (pieces.x, pieces.times, mask)]


def _autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU; on CPUs without AMX it halves the speed of float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
