"""Inference: ragged curves in, embeddings out; length buckets instead of padding to 200."""

import copy
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.astromer import Astromer, AstromerConfig
from models.windows import by_time, is_sorted, model_inputs, newest

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Precision = Literal["fp32", "bf16"]

BUCKETS = (*range(8, 64, 4), *range(64, 201, 8))
"""Lengths that windows are padded to (3 % of wasted arithmetic); longer models pad to their own."""

CPU_STEP_BUDGET = 2048
"""Padded steps (windows times length) of one forward pass: what fits a second-level cache."""

CUDA_STEP_BUDGET = 65_536
"""Large enough that starting its kernels takes less time than running them."""

IN_FLIGHT = 3
"""Batches that a GPU works on before the first is waited for."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows padded to one length, on the device. copies: see `Astromer.attention_bias`."""

    rows: Int64
    x: Tensor
    times: Tensor
    mask: Tensor
    copies: Tensor | None


class Embedder:
    """An encoder in inference mode.

    The embedding is `Astromer.summary`: with a property head its output (the useful layer:
    specification science, section 5), else the pooled last state. `precision` bf16 runs the
    blocks in bfloat16; positions, input and pooling stay in float32. Astromer 1 at full precision
    runs in float64: without shortcuts its LayerNorms amplify rounding a thousandfold, and a
    window would differ by 4e-4 between one bucket and another.
    """

    def __init__(
        self, module: Astromer, device: str = "cpu", precision: Precision = "fp32"
    ) -> None:
        self._module = copy.deepcopy(module).eval().to(device)
        if precision == "bf16":
            self._module.blocks.to(torch.bfloat16)
        elif module.config.version == 1:
            self._module.double()
        self._dtype = self._module.embed.weight.dtype
        self._device = torch.device(device)
        self._cuda = self._device.type == "cuda"
        self._budget = CUDA_STEP_BUDGET if self._cuda else CPU_STEP_BUDGET
        self._pool: ThreadPoolExecutor | None = None
        if not self._cuda:
            # A batch a core: splitting each matrix over cores waits for the slowest every time.
            torch.set_num_threads(1)
            self._pool = ThreadPoolExecutor(cores(), "embed")
        self.window = module.config.window
        self.dim = module.summary_size

    def warm_up(self) -> None:
        """Run every bucket once; on a GPU in a full batch too, which has kernels of its own."""
        for length in edges(self._module.config).tolist():
            n = length if length == self.window else length - 1
            for count in (1, max(1, self._budget // length)) if self._cuda else (1,):
                offsets = np.arange(count + 1) * n
                jd = np.tile(np.linspace(0.0, 1.0, n), count)
                self.embed(offsets, jd, np.zeros(len(jd)), np.full(len(jd), 0.1))

    def embed(self, offsets: Int64, jd: Float64, mag: Float64, err: Float64) -> Float32:
        """Embeddings (B, dim) of ragged curves: newest window, centred, bucketed by length.

        Points that don't ascend in time are sorted first. An empty curve gives zeros; a value
        that is not finite gives NaN in its own row, and only there.
        """
        if not is_sorted(offsets, jd):
            order = by_time(offsets, jd)
            jd, mag, err = jd[order], mag[order], err[order]
        index, cut = newest(offsets, self.window)
        x, times = model_inputs(
            cut, jd[index], mag[index], err[index], self._module.config.channels
        )
        out = np.zeros((len(cut) - 1, self.dim), dtype=np.float32)
        work = buckets(np.diff(cut), self._module.config, self._budget)
        batches = (self._batch(x, times, cut, rows, length) for rows, length in work)
        if self._cuda:
            self._run_in_flight(out, batches)
        else:
            run = map if self._pool is None else self._pool.map
            for rows, result in run(self._forward, batches):
                out[rows] = result.numpy()
        return out

    @torch.inference_mode()
    def _forward(self, batch: Batch) -> tuple[Int64, Tensor]:
        summary = self._module.summary(batch.x, batch.times, batch.mask, batch.copies)
        return batch.rows, summary.float()

    def _run_in_flight(self, out: Float32, batches: Iterator[Batch]) -> None:
        """Queue batches on the GPU; only the oldest of a few is ever waited for."""
        waiting: deque[tuple[Int64, Tensor, torch.cuda.Event]] = deque()
        for batch in batches:
            waiting.append(self._start(batch))
            if len(waiting) > IN_FLIGHT:
                _finish(out, *waiting.popleft())
        for started in waiting:
            _finish(out, *started)

    def _start(self, batch: Batch) -> tuple[Int64, Tensor, torch.cuda.Event]:
        """Queue a forward pass and the copy of its result."""
        _, result = self._forward(batch)
        host = torch.empty(result.shape, dtype=torch.float32, pin_memory=True)
        host.copy_(result, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch has no types here
        done.record()
        return batch.rows, host, done

    def _batch(self, x: Float32, times: Float32, offsets: Int64, rows: Int64, length: int) -> Batch:
        n = offsets[rows + 1] - offsets[rows]
        visible = np.arange(length) < n[:, None]
        place = (offsets[rows][:, None] + np.arange(length))[visible]
        padded_x = np.zeros((len(rows), length, x.shape[1]), dtype=np.float32)
        padded_t = np.zeros((len(rows), length), dtype=np.float32)
        padded_x[visible], padded_t[visible] = x[place], times[place]
        copies = padding_copies(self._module.config, n, length)
        return Batch(
            rows,
            self._to_device(padded_x),
            self._to_device(padded_t),
            self._to_device(1.0 - visible.astype(np.float32)),
            None if copies is None else self._to_device(copies),
        )

    def _to_device(self, array: Float32) -> Tensor:
        tensor = torch.from_numpy(array)
        if self._cuda:
            tensor = tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._dtype)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux; others don't bind processes
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _finish(out: Float32, rows: Int64, result: Tensor, done: torch.cuda.Event) -> None:
    done.synchronize()
    out[rows] = result.numpy()


def padding_copies(config: AstromerConfig, n: Int64, length: int) -> Float32 | None:
    """How many of Astromer 1's padding steps each padding step of a short batch stands for.

    None for Astromer 2, which doesn't see its padding.
    """
    if config.version == 2:
        return None
    if config.padding == "none":
        return np.zeros(len(n), dtype=np.float32)
    return ((config.window - n) / np.maximum(length - n, 1)).astype(np.float32)


def edges(config: AstromerConfig) -> Int64:
    """Lengths that windows of this encoder are padded to, ascending."""
    return np.array([b for b in BUCKETS if b < config.window] + [config.window])


def buckets(lengths: Int64, config: AstromerConfig, budget: int) -> Iterator[tuple[Int64, int]]:
    """Rows of similar length and the length to pad them to, within a budget of padded steps.

    Astromer 1 attends to its padding, so a window that is padded needs one padding step.
    """
    ends = edges(config)
    needs_padding = config.version == 1 and config.padding == "published"
    wanted = np.where(needs_padding & (lengths < config.window), lengths + 1, lengths)
    bucket = np.searchsorted(ends, wanted)
    for number in np.unique(bucket[lengths > 0]).tolist():
        length = int(ends[number])
        rows = np.flatnonzero((bucket == number) & (lengths > 0))
        size = max(1, budget // length)
        for start in range(0, len(rows), size):
            yield rows[start : start + size], length
