"""The authors' weights into ours: names, shapes and counts checked, kernels transposed."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.astromer import Astromer, AstromerConfig
from models.checkpoint import read_checkpoint
from models.weights import WeightsError, fill, load_encoder, load_weights

Float32 = NDArray[np.float32]

LAYERS = {
    "embed": "encoder/inp_transform",
    "head_norm": "regression/bn_0",
    "head": "regression/reg_layer",
}
BLOCK_LAYERS = {
    "attention.query": "mha/wq",
    "attention.key": "mha/wk",
    "attention.value": "mha/wv",
    "attention.out": "mha/dense",
    "up": "ffn/0",
    "down": "ffn/1",
    "norm1": "layernorm1",
    "norm2": "layernorm2",
    "leak1": "reshape_leak_1",
    "leak2": "reshape_leak_2",
}
"""Our layer: theirs, below `encoder/enc_layers/<block>/`."""

TOKEN = "encoder/msk_token"  # noqa: S105 - the mask token, no secret
HEADS = 4
"""Both published models; not visible in the shapes."""


def load_any(path: Path) -> Astromer:
    """An encoder from a directory, a safetensors file, a .npz or a checkpoint's prefix.

    Raises WeightsError that says what is missing, unknown or misshapen.
    """
    if path.is_dir():
        return load_encoder(path)
    if path.suffix == ".safetensors":
        return load_weights(path)
    return from_arrays(read_arrays(path))


def read_arrays(path: Path) -> dict[str, Float32]:
    """The authors' variables by their flat names, from a .npz or a checkpoint's prefix."""
    if path.suffix != ".npz":
        return flat_names(read_checkpoint(path))
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name], dtype=np.float32) for name in file.files}
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: {error}") from error


def flat_names(variables: Mapping[str, Float32]) -> dict[str, Float32]:
    """Object-graph keys to flat names: `layer_with_weights-N` numbers layers by first use."""
    found = {}
    for key, array in variables.items():
        match = re.fullmatch(r"layer_with_weights-\d+/(.+)", key)
        if match is None:
            continue
        name = match[1].replace("layer_with_weights-", "")
        part = "regression" if name.startswith(("bn_0/", "reg_layer/")) else "encoder"
        found[f"{part}/{name}"] = array
    return found


def from_arrays(arrays: Mapping[str, Float32]) -> Astromer:
    """The module of these variables; its architecture follows from their shapes."""
    config = architecture(arrays)
    module = Astromer(config)
    fill(module, _tensors(arrays, config))
    return module.eval()


def architecture(arrays: Mapping[str, Float32]) -> AstromerConfig:
    """Version, depth, widths and token of these variables."""
    numbers = [re.match(r"encoder/enc_layers/(\d+)/", name) for name in arrays]
    layers = 1 + max((int(m[1]) for m in numbers if m is not None), default=-1)
    kernel = arrays.get("encoder/enc_layers/0/ffn/0/kernel")
    if layers == 0 or kernel is None or kernel.ndim != 2:
        raise WeightsError("no Astromer: encoder/enc_layers/0/ffn/0/kernel is missing")
    return AstromerConfig(
        version=2 if any("reshape_leak" in name for name in arrays) else 1,
        layers=layers,
        width=kernel.shape[0],
        hidden=kernel.shape[1],
        heads=HEADS,
        mask_token=TOKEN in arrays,
    )


def _tensors(arrays: Mapping[str, Float32], config: AstromerConfig) -> dict[str, Tensor]:
    wanted = _wanted(config)
    missing = sorted(source for source, _ in wanted.values() if source not in arrays)
    unknown = sorted(arrays.keys() - {source for source, _ in wanted.values()})
    if missing or unknown:
        raise WeightsError(f"variables missing: {missing}, unknown: {unknown}")
    tensors = {}
    for name, (source, transposed) in wanted.items():
        array = arrays[source].T if transposed else arrays[source]
        tensors[name] = torch.from_numpy(np.ascontiguousarray(array))
    if TOKEN in arrays:
        tensors["mask_token"] = tensors["mask_token"].reshape(1)
    return tensors


def _wanted(config: AstromerConfig) -> dict[str, tuple[str, bool]]:
    """Our tensor: their variable, and whether it is a kernel to transpose."""
    layers = dict(LAYERS)
    for block in range(config.layers):
        for ours, theirs in BLOCK_LAYERS.items():
            if config.version == 2 or not ours.startswith("leak"):
                layers[f"blocks.{block}.{ours}"] = f"encoder/enc_layers/{block}/{theirs}"
    wanted = {}
    for ours, theirs in layers.items():
        norm = ours.rsplit(".", 1)[-1] in {"norm1", "norm2", "head_norm"}
        wanted[f"{ours}.weight"] = (f"{theirs}/gamma" if norm else f"{theirs}/kernel", not norm)
        wanted[f"{ours}.bias"] = (f"{theirs}/beta" if norm else f"{theirs}/bias", False)
    if config.mask_token:
        wanted["mask_token"] = (TOKEN, False)
    return wanted


def describe(module: Astromer) -> dict[str, Any]:
    """What `model inspect` prints: architecture, sizes, cost of one full window."""
    config = module.config
    tensors = {name: list(t.shape) for name, t in module.state_dict().items()}
    count = sum(p.numel() for p in module.parameters())
    head = sum(p.numel() for n, p in module.named_parameters() if n.startswith("head"))
    return {
        "encoder": asdict(config),
        "parameters": count,
        "encoder_parameters": count - head,
        "gflop_per_window": round(flop(config, config.window) / 1e9, 4),
        "tensors": tensors,
    }


def flop(config: AstromerConfig, steps: int) -> int:
    """Floating-point operations of one window, a multiply-add counted as two."""
    d = config.width
    dense = 4 * d * d + 2 * d * config.hidden + (2 * d * d if config.version == 2 else 0)
    return 2 * config.layers * (dense * steps + 2 * d * steps**2) + 4 * d * steps
