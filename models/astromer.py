"""Astromer 1 and 2 in one file: a transformer over one band of a light curve.

Sources: Donoso-Oliva et al. 2023 (Astromer 1) and 2025 (Astromer 2), as the authors' code
computes them. B windows, T steps, D width, H heads. `mask` is 1 where a step is hidden or
padding, 0 where it is visible.

Options that the published models leave off: log-spaced positional periods, magnitude errors
as input channels, mean and max pooling, serving without padding, a mask token, a head that
predicts properties of the whole curve.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

SHORTEST_PERIOD_DAYS = 0.125
LONGEST_PERIOD_DAYS = 1095.0

CHANNELS = {"mag": 1, "mag_error": 3}
"""mag: centred magnitude; mag_error: the same, 0.3 asinh(mag / err), log10 err."""


@dataclass(frozen=True, slots=True)
class AstromerConfig:
    """Architecture. The defaults are the published Astromer 2.

    `version` 1: no shortcuts, masked logits raised by 1; 2: learned shortcuts, hidden keys
    removed. `padding` concerns version 1 alone, whose published form attends to its padding.
    `mask_token`: a learned magnitude for hidden steps; the authors declare one, but their
    published graph lacks it. `targets`: outputs of the property head, 0 for none.
    """

    version: Literal[1, 2] = 2
    layers: int = 6
    width: int = 256
    heads: int = 4
    hidden: int = 512
    window: int = 200
    positions: Literal["astromer", "log"] = "astromer"
    channels: Literal["mag", "mag_error"] = "mag"
    pooling: Literal["mean", "mean_max"] = "mean"
    padding: Literal["published", "none"] = "published"
    mask_token: bool = False
    targets: int = 0
    dropout: float = 0.0


ASTROMER_1 = AstromerConfig(version=1, layers=2, hidden=128)
ASTROMER_2 = AstromerConfig()


def frequencies(config: AstromerConfig) -> Tensor:
    """Angular frequency of each of the D positional channels, rad/day.

    Astromer gives every channel its own, 10000^(-2i/D) (sine on even, cosine on odd channels);
    the log option pairs sine and cosine of periods from 3 hours to 3 years.
    """
    channel = torch.arange(config.width, dtype=torch.float64)
    if config.positions == "astromer":
        return 10000.0 ** (-2.0 * channel / config.width)
    share = torch.div(channel, 2, rounding_mode="floor") / max(config.width // 2 - 1, 1)
    ratio = math.log(LONGEST_PERIOD_DAYS / SHORTEST_PERIOD_DAYS)
    return 2.0 * math.pi / (SHORTEST_PERIOD_DAYS * torch.exp(share * ratio))


class Attention(nn.Module):
    """Multi-head attention; heads are contiguous groups of channels."""

    def __init__(self, config: AstromerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, T, D); bias broadcasts to (B, H, T, T) and is added to the logits."""
        b, t, d = x.shape
        q, k, v = (
            layer(x).view(b, t, self.heads, d // self.heads).transpose(1, 2)  # (B, H, T, D/H)
            for layer in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(b, t, d))
        return out


class Block(nn.Module):
    """Attention and a two-layer network; Astromer 2 adds a learned shortcut around each."""

    def __init__(self, config: AstromerConfig) -> None:
        super().__init__()
        d = config.width
        self.attention = Attention(config)
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
        self.up, self.down = nn.Linear(d, config.hidden), nn.Linear(config.hidden, d)
        leaks = config.version == 2
        self.leak1 = nn.Linear(d, d) if leaks else None
        self.leak2 = nn.Linear(d, d) if leaks else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, D)."""
        mixed = self.dropout(self.attention(x, bias))
        a = self.norm1(mixed if self.leak1 is None else self.leak1(x) + mixed)
        fed = self.dropout(self.down(torch.tanh(self.up(a))))
        y: Tensor = self.norm2(fed if self.leak2 is None else self.leak2(a) + fed)
        return y


class Astromer(nn.Module):
    """Windows in, per-step states out."""

    def __init__(self, config: AstromerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(CHANNELS[config.channels], config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head_norm = nn.LayerNorm(config.width, eps=1e-6)
        self.head = nn.Linear(config.width, 1)
        self.register_buffer("omega", frequencies(config).float(), persistent=False)
        self.omega: Tensor
        self.mask_token = nn.Parameter(torch.zeros(1)) if config.mask_token else None
        self.property_head = _property_head(config) if config.targets else None

    def forward(
        self, x: Tensor, times: Tensor, mask: Tensor, copies: Tensor | None = None
    ) -> list[Tensor]:
        """States after the input embedding and after each block.

        x (B, T, C), times (B, T) [d, centred], mask (B, T), copies (B,) as in
        `attention_bias`; each result (B, T, D).
        """
        if self.mask_token is not None:
            hidden = mask[..., None]
            x = torch.cat([x[..., :1] * (1 - hidden) + self.mask_token * hidden, x[..., 1:]], -1)
        states = [self.embed(x) + self.position(times)]
        # Blocks may be in bfloat16; magnitudes and positions need float32.
        state = states[0].to(next(self.blocks.parameters()).dtype)
        bias = self.attention_bias(mask, copies).to(state.dtype)
        for block in self.blocks:
            state = block(state, bias)
            states.append(state.to(states[0].dtype))
        return states

    def position(self, times: Tensor) -> Tensor:
        """Positional encoding (B, T, D): sine on even, cosine on odd channels."""
        angle = times[..., None] * self.omega
        even = torch.arange(self.config.width, device=times.device) % 2 == 0
        return torch.where(even, torch.sin(angle), torch.cos(angle))

    def attention_bias(self, mask: Tensor, copies: Tensor | None = None) -> Tensor:
        """What masking adds to the logits.

        Astromer 1 raises the logits of hidden queries or keys by 1, as published; Astromer 2
        removes hidden keys. `copies` (B,): how many equal padding steps each hidden step of a
        window stands for in Astromer 1. m equal keys weigh as much as one whose logit is raised
        by ln m, so a short window need not be padded to its full length; 0 removes the padding.
        Valid where only padding is hidden.
        """
        if self.config.version == 2:
            return (-1e9 * mask)[:, None, None, :]  # (B, 1, 1, T)
        bias = (mask[:, :, None] + mask[:, None, :]).clamp(max=1.0)  # (B, T, T)
        if copies is not None:
            bias = bias + (torch.log(copies).clamp(min=-1e9)[:, None] * mask)[:, None, :]
        return bias[:, None]

    def reconstruct(self, state: Tensor) -> Tensor:
        """Magnitudes (B, T) from the last state."""
        magnitudes: Tensor = self.head(self.head_norm(state))
        return magnitudes[..., 0]

    def summary(
        self, x: Tensor, times: Tensor, mask: Tensor, copies: Tensor | None = None
    ) -> Tensor:
        """One vector per window (B, `summary_size`).

        The predicted properties where there is a property head, else the pooled last state.
        """
        pooled = pool(self(x, times, mask, copies)[-1], mask, self.config.pooling)
        if self.property_head is None:
            return pooled
        predicted: Tensor = self.property_head(pooled)
        return predicted

    @property
    def summary_size(self) -> int:
        """Length of a window's summary."""
        return self.config.targets or _pooled_size(self.config)


def masked_mean(state: Tensor, mask: Tensor) -> Tensor:
    """Mean over visible steps (B, D); zero where none is."""
    visible = (1.0 - mask)[..., None]
    total: Tensor = (state * visible).sum(1)
    return total / visible.sum(1).clamp(min=1.0)


def masked_max(state: Tensor, mask: Tensor) -> Tensor:
    """Maximum over visible steps (B, D); zero where none is."""
    hidden = mask[..., None] > 0
    top = state.masked_fill(hidden, -torch.inf).amax(1)
    return torch.where(torch.isinf(top), torch.zeros_like(top), top)


def skip_embedding(states: list[Tensor], mask: Tensor, gamma: Tensor) -> Tensor:
    """Weighted embedding of all layers (B, D): softmax(gamma), over the number of layers.

    The division comes from the authors' mean over the layer axis (1/7 in Astromer 2). The
    paper's variant for Astromer 1 leaves the input embedding, `states[0]`, out.
    """
    means = torch.stack([masked_mean(state, mask) for state in states], dim=1)
    weight = torch.softmax(gamma, 0)[None, :, None]
    return (means * weight).sum(1) / len(states)


def pool(state: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """One vector per window: (B, D), or (B, 2 D) with the maximum."""
    mean = masked_mean(state, mask)
    return mean if pooling == "mean" else torch.cat([mean, masked_max(state, mask)], dim=1)


def _pooled_size(config: AstromerConfig) -> int:
    return config.width * (2 if config.pooling == "mean_max" else 1)


def _property_head(config: AstromerConfig) -> nn.Sequential:
    size = _pooled_size(config)
    return nn.Sequential(
        nn.LayerNorm(size), nn.Linear(size, 128), nn.GELU(), nn.Linear(128, config.targets)
    )
