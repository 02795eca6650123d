"""`bench score`: what heads, calibration and features cost per alert and core."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from worker.commands.model.failures import as_config_errors
from worker.commands.options import json_option

if TYPE_CHECKING:
    from models.scorer import Scorer

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

ROUNDS = 5
OBJECTS = 10
LONGEST = 400
BATCH = 256


@click.command()
@click.option("--model", "directory", type=click.Path(path_type=Path), help="Artefact.")
@json_option
def score(directory: Path | None, *, as_json: bool) -> None:
    """CPU milliseconds per alert, one thread, medians of five rounds.

    Features: curves that grow point by point from 5 to 400, memo of period blocks empty at first.
    """
    import torch

    from models import default_artifact
    from models.scorer import Scorer

    torch.set_num_threads(1)
    with as_config_errors():
        scorer = Scorer.load(directory or default_artifact(), "cpu")
    scorer.warm_up()
    result = _measure(scorer)
    click.echo(
        json.dumps(result) if as_json else "\n".join(f"{k:26} {v}" for k, v in result.items())
    )


def _measure(scorer: "Scorer") -> dict[str, float]:
    from models.inputs import raw_views
    from models.memo import PeriodMemo
    from models.simulate import simulate_curves

    curves = simulate_curves(1, BATCH)
    arrays = (curves.offsets, curves.time, curves.mag, curves.err)
    kind = curves.apparent.astype(np.uint8)
    raw = scorer.inputs(*arrays)

    def heads() -> int:
        found = scorer.detect(raw)
        scorer.p_values("simulated", kind, np.diff(curves.offsets), found)
        return BATCH

    offsets, jd, mag, err = _growing()
    steps = 0

    def features() -> int:
        nonlocal steps
        memo = PeriodMemo()
        raw_views(None, offsets, jd, mag, err, memo)
        steps = memo.misses
        return len(offsets) - 1

    return {
        "heads_and_calibration_ms": _median_ms(heads),
        "features_ms": _median_ms(features),
        "period_blocks_per_alert": round(steps / (len(offsets) - 1), 4),
        "encoder_ms": _median_ms(lambda: len(scorer.inputs(*arrays).n_points)),
    }


def _median_ms(task: Callable[[], int]) -> float:
    task()
    times = []
    for _ in range(ROUNDS):
        started = process_time()
        count = task()
        times.append(1000 * (process_time() - started) / count)
    return round(median(times), 4)


def _growing() -> tuple[Int64, Float64, Float64, Float64]:
    """Objects as they alert point by point, from 5 to 400 points: one ragged curve per alert."""
    rng = np.random.default_rng(7)
    lengths = np.tile(np.arange(5, LONGEST + 1), OBJECTS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    jd = [np.sort(rng.uniform(0, 1500, LONGEST)) + 2460000.0 for _ in range(OBJECTS)]
    mag = [
        18 + rng.uniform(0.1, 1) * np.sin(2 * np.pi * t / rng.uniform(0.3, 30))
        + rng.normal(0, 0.05, LONGEST) for t in jd
    ]  # fmt: skip
    grown = range(5, LONGEST + 1)
    return (
        offsets,
        np.concatenate([t[:n] for t in jd for n in grown]),
        np.concatenate([m[:n] for m in mag for n in grown]),
        np.full(offsets[-1], 0.05),
    )
