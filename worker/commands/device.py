"""The model on its device: which one it gets, and what happens when it is lost."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, ParamSpec, Self, TypeVar

import torch

from models.scorer import Float64, Int64, Scores, UInt8
from models.scorer import Scorer as ModelScorer
from worker.errors import RestartRequiredError, UnavailableError

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

_LOST = ("CUDA", "cuDNN", "CUBLAS", "NCCL", "out of memory", "not enough memory")
"""What the runtime writes into its plain RuntimeErrors when the device is at fault."""


class DeviceLostError(RestartRequiredError):
    """The device failed or has no memory left; `out_of_memory` tells which."""

    def __init__(self, message: str, *, out_of_memory: bool) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


class GuardedScorer(ModelScorer):
    """A scorer whose device may fail: then the process ends with 75 and starts anew.

    `device`: cpu or cuda; `fallback`: a build with CUDA runs on the CPU because `auto` found no
    GPU that works: alerts carry the flag `cpu_fallback`.
    """

    device: str = "cpu"
    fallback: bool = False

    @classmethod
    def open(
        cls,
        directory: Path,
        wanted: Literal["auto", "cpu", "cuda"],
        calibrations: Sequence[Path] = (),
    ) -> Self:
        """Load on a usable device and warm up. Raises what `load` does, and UnavailableError."""
        device = usable_device(wanted)
        scorer = guarded(lambda: cls.load(directory, device, calibrations))
        scorer.device = device
        scorer.fallback = wanted == "auto" and device == "cpu" and torch.version.cuda is not None
        guarded(scorer.warm_up)
        return scorer

    def score(self, offsets: Int64, jd: Float64, mag: Float64, err: Float64, kind: UInt8) -> Scores:
        """As the model's; DeviceLostError when the device fails."""
        return guarded(lambda: ModelScorer.score(self, offsets, jd, mag, err, kind))

    def device_memory(self) -> int:
        """Bytes that the model holds on its GPU, 0 on a CPU."""
        return torch.cuda.memory_reserved() if self.device == "cuda" else 0

    def device_memory_limit(self) -> int:
        """Bytes of that GPU, 0 on a CPU."""
        return torch.cuda.mem_get_info()[1] if self.device == "cuda" else 0


def usable_device(wanted: Literal["auto", "cpu", "cuda"]) -> str:
    """The device to load on: `auto` takes a GPU that works, else the CPU.

    Raises UnavailableError where a GPU was asked for by name and none works.
    """
    if wanted == "cpu":
        return "cpu"
    try:
        if torch.cuda.is_available():
            torch.ones(1, device="cuda").sum().item()
            return "cuda"
        reason = "none is visible"
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
    if wanted == "cuda":
        raise UnavailableError(f"model.device = cuda, but no GPU works: {reason}")
    log.info("no GPU (%s): the model runs on the CPU", reason)
    return "cpu"


def guarded(call: Callable[[], R]) -> R:
    """The call's result; DeviceLostError where it failed because of the device."""
    try:
        return call()
    except RuntimeError as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        out_of_memory = isinstance(error, torch.OutOfMemoryError) or "memory" in text
        if out_of_memory or any(word in text for word in _LOST):
            raise DeviceLostError(f"device: {text}", out_of_memory=out_of_memory) from error
        raise
