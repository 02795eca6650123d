"""How fast an encoder embeds, beside the straightforward implementation."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.astromer import Astromer
from models.convert import flop
from models.engine import Embedder, Precision, cores
from models.straightforward import embed as embed_straightforwardly
from models.windows import model_inputs

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Curves = tuple[Int64, Float64, Float64, Float64]

MEDIAN, PERCENTILE_95 = 30, 200
SHORTEST, LONGEST = 5, 200
NORMAL_95 = 1.6449
LENGTHS = (10, 20, 50, 100, 200)
SEED = 1


def stream_lengths(rng: np.random.Generator, count: int) -> Int64:
    """Points of windows in a stream: log-normal, median 30, 95th percentile 200, cut at 5, 200."""
    sigma = np.log(PERCENTILE_95 / MEDIAN) / NORMAL_95
    drawn = np.exp(rng.normal(np.log(MEDIAN), sigma, count))
    return np.clip(drawn, SHORTEST, LONGEST).astype(np.int64)


def random_curves(rng: np.random.Generator, lengths: Int64) -> Curves:
    """Noise at random times: speed does not depend on the values."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    jd = np.concatenate([2_460_000 + np.sort(rng.uniform(0, 900, n)) for n in lengths.tolist()])
    return offsets, jd, 18 + rng.normal(0, 0.3, len(jd)), rng.uniform(0.02, 0.2, len(jd))


def measure(
    module: Astromer, device: str, precision: Precision, windows: int, rounds: int
) -> dict[str, Any]:
    """Windows per second on the stream's lengths and by length; medians over rounds.

    Ours and the straightforward implementation take turns, so that both see the same machine.
    """
    rng = np.random.default_rng(SEED)
    lengths = stream_lengths(rng, windows)
    stream = random_curves(rng, lengths)
    embedder = Embedder(module, device, precision)
    embedder.warm_up()
    few = random_curves(rng, stream_lengths(rng, min(windows, 64)))
    plain = _Plain(module, device, few)
    times = [
        (_seconds(lambda: embedder.embed(*stream)) / windows, plain.seconds())
        for _ in range(rounds)
    ]
    ours, theirs = np.median([t[0] for t in times]), np.median([t[1] for t in times])
    work = float(np.mean([flop(module.config, n) for n in lengths.tolist()])) / 1e9
    result = {
        "device": device,
        "precision": precision,
        "threads": cores(),
        "gflop_per_window": round(work, 4),
        "windows_per_s": round(1 / ours, 1),
        "straightforward_per_s": round(1 / theirs, 1),
        "times_faster": round(float(np.median([b / a for a, b in times])), 2),
    }
    peak = _peak(device, torch.bfloat16 if precision == "bf16" else torch.float32)
    return result | {
        "peak_gflop_per_s": round(peak),
        "share_of_peak": round(work / ours / peak, 3),
        "by_length": _by_length(module, embedder, rng, windows),
    }


def _by_length(
    module: Astromer, embedder: Embedder, rng: np.random.Generator, windows: int
) -> list[dict[str, float]]:
    rows = []
    for length in LENGTHS:
        # As many windows as take about as long as the stream did.
        count = max(16, windows * 40 // length)
        curves = random_curves(rng, np.full(count, length))
        rate = count / _seconds(lambda c=curves: embedder.embed(*c))  # type: ignore[misc]  # default binds now
        done = rate * flop(module.config, length) / 1e9
        rows.append({"points": length, "windows_per_s": round(rate, 1), "gflop_per_s": round(done)})
    return rows


class _Plain:
    """The straightforward implementation on some of the stream, with all cores in each matrix."""

    def __init__(self, module: Astromer, device: str, curves: Curves) -> None:
        offsets, jd, mag, err = curves
        x, times = model_inputs(offsets, jd, mag, err, module.config.channels)
        visible = np.arange(module.config.window) < np.diff(offsets)[:, None]
        padded = np.zeros((*visible.shape, x.shape[1]), dtype=np.float32)
        clock = np.zeros(visible.shape, dtype=np.float32)
        padded[visible], clock[visible] = x, times
        arrays = (padded, clock, 1.0 - visible.astype(np.float32))
        self._tensors = [torch.from_numpy(a).to(device) for a in arrays]
        self._module, self._count = module.to(device), len(visible)

    def seconds(self) -> float:
        """Per window."""
        before = torch.get_num_threads()
        torch.set_num_threads(cores())
        try:
            taken = _seconds(lambda: embed_straightforwardly(self._module, *self._tensors).cpu())
            return taken / self._count
        finally:
            torch.set_num_threads(before)


def _peak(device: str, dtype: torch.dtype) -> float:
    """GFLOP/s of one large matrix product with all cores, the best of three."""
    size = 8192 if device == "cuda" else 1024
    a = torch.randn(size, size, device=device, dtype=dtype)
    before = torch.get_num_threads()
    torch.set_num_threads(cores())
    # Reading one number waits for a GPU.
    taken = min(_seconds(lambda: float((a @ a)[0, 0])) for _ in range(4))
    torch.set_num_threads(before)
    return 2 * size**3 / taken / 1e9


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
