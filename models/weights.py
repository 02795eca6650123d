"""Weights on disk: safetensors and config.json, checked for names, shapes and NaN."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.astromer import Astromer, AstromerConfig

ENCODER_FILE = "encoder.safetensors"


class WeightsError(ValueError):
    """Weights that do not fit their architecture, or are unreadable."""


def save_encoder(module: Astromer, directory: Path, record: Mapping[str, Any]) -> None:
    """Write half-precision weights and config.json."""
    save_weights(module, directory / ENCODER_FILE, record, torch.float16)


def save_weights(
    module: Astromer, path: Path, record: Mapping[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write a weights file and config.json beside it.

    The architecture stands in the file's header too, so that the file alone can be loaded.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.to(dtype) for name, t in module.state_dict().items()}
    write_tensors(path, tensors, {"encoder": json.dumps(asdict(module.config))})
    text = json.dumps(record, indent=1) + "\n"
    path.with_name("config.json").write_text(text, encoding="utf-8")


def load_weights(path: Path) -> Astromer:
    """The encoder of one weights file, in float32; WeightsError says what does not fit."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        module = Astromer(AstromerConfig(**json.loads(header["encoder"])))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: no encoder ({error})") from error
    fill(module, read_tensors(path))
    return module.eval()


def load_encoder(directory: Path) -> Astromer:
    """The encoder of a directory, in float32; WeightsError says what does not fit."""
    try:
        record = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        module = Astromer(AstromerConfig(**record["encoder"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{directory}/config.json: {error}") from error
    fill(module, read_tensors(directory / ENCODER_FILE))
    return module.eval()


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """A safetensors file that every user may read: a worker seldom runs as who trained."""
    save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata=metadata)
    path.chmod(0o644)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file as float32; WeightsError for NaN or a broken file."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: {error}") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{path}: {name} holds NaN or infinity")
    return {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}


def fill(module: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a module whose names and shapes they must match exactly."""
    wanted = module.state_dict()
    missing, unknown = (
        sorted(wanted.keys() - tensors.keys()),
        sorted(tensors.keys() - wanted.keys()),
    )
    if missing or unknown:
        raise WeightsError(f"missing {missing[:5]}, unknown {unknown[:5]}")
    for name, tensor in wanted.items():
        if tensors[name].shape != tensor.shape:
            raise WeightsError(f"{name}: {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}")
    module.load_state_dict(dict(tensors))


def read_record(directory: Path) -> dict[str, Any]:
    """The config.json of an encoder or artefact."""
    record = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        raise TypeError(f"{directory}/config.json holds no object")
    return record
