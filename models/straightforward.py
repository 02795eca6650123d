"""The straightforward implementation that benchmarks compare with.

What a plain port of the authors' code does: every window padded to 200 steps, float32, batches
of 32, attention written out as softmax(Q K^T / sqrt(d) + mask) V.
"""

import torch
from torch import Tensor

from models.astromer import Astromer, Attention, Block, pool

BATCH = 32


@torch.inference_mode()
def embed(module: Astromer, x: Tensor, times: Tensor, mask: Tensor) -> Tensor:
    """Summaries (N, size) of windows padded to full length; arguments as Astromer.forward's."""
    starts = range(0, len(x), BATCH)
    return torch.cat(
        [_summary(module, *(a[i : i + BATCH] for a in (x, times, mask))) for i in starts]
    )


def _summary(module: Astromer, x: Tensor, times: Tensor, mask: Tensor) -> Tensor:
    state = module.embed(x) + module.position(times)
    bias = module.attention_bias(mask)
    for block in module.blocks:
        assert isinstance(block, Block)
        mixed = _attention(block.attention, state, bias)
        a = block.norm1(mixed if block.leak1 is None else block.leak1(state) + mixed)
        fed = block.down(torch.tanh(block.up(a)))
        state = block.norm2(fed if block.leak2 is None else block.leak2(a) + fed)
    pooled = pool(state, mask, module.config.pooling)
    if module.property_head is None:
        return pooled
    predicted: Tensor = module.property_head(pooled)
    return predicted


def _attention(layer: Attention, x: Tensor, bias: Tensor) -> Tensor:
    b, t, d = x.shape
    size = d // layer.heads
    q, k, v = (
        f(x).view(b, t, layer.heads, size).transpose(1, 2)
        for f in (layer.query, layer.key, layer.value)
    )
    weight = torch.softmax(q @ k.transpose(2, 3) / size**0.5 + bias, -1)
    out: Tensor = layer.out((weight @ v).transpose(1, 2).reshape(b, t, d))
    return out
