"""Training an encoder: one loop for every task, seeded by step, resumable.

Each step's random numbers come from (seed, step), so a run that was stopped and resumed gives
the weights of one that was not.
"""

import csv
import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from models.astromer import Astromer, AstromerConfig
from models.data import CurveSet
from models.tasks import Draw, Task, by_survey, make_task
from models.weights import read_record, save_encoder

__all__ = [
    "PretrainPlan", "Report", "TrainingError", "pretrain", "read_record", "train",
    "training_record",
]  # fmt: skip

log = logging.getLogger(__name__)

Float64 = NDArray[np.float64]

RESUME_FILE = "resume.pt"
LOG_FILE = "log.csv"
LOG_EVERY = 100
LOG_COLUMNS = ("step", "learning_rate", "loss", "r2", "seconds")
LOSSES_KEPT = 40


class TrainingError(ValueError):
    """A run that can't go on: it diverged, or what is to be resumed is another run."""


@dataclass(frozen=True, slots=True)
class PretrainPlan:
    """How long and on what pieces. `points`: points of a batch; lengths in points.

    `weighted`: the authors' error weights in the masked tasks.
    """

    task: Literal["properties", "masked", "hidden"] = "properties"
    steps: int = 5000
    seed: int = 0
    points: int = 12_000
    shortest: int = 5
    longest: int = 200
    learning_rate: float = 1e-3
    warm_up_steps: int = 200
    weighted: bool = False
    save_every: int = 500


Report = Callable[[int, float], None]
"""Called after every step with its number and the mean loss of late."""


def pretrain(
    config: AstromerConfig,
    curves: CurveSet,
    plan: PretrainPlan,
    out: Path,
    report: Report,
    *,
    device: str = "cpu",
    resume: bool = False,
    about: Mapping[str, Any] | None = None,
    properties: Float64 | None = None,
) -> Astromer:
    """Train for `plan.steps` batches without labels; write encoder and log to `out`.

    `about` is added to config.json, such as what was left out of the curves; `properties`:
    those of the curves, where they are known. Raises TrainingError.
    """
    torch.manual_seed(plan.seed)
    module = Astromer(config).to(device)
    draw = Draw(plan.points, plan.shortest, plan.longest, by_survey(curves))
    task = make_task(plan.task, curves, draw, weighted=plan.weighted, size=module.summary_size,
                     properties=properties)  # fmt: skip
    losses = train(module, task, plan, out, report, resume=resume)
    surveys, counts = np.unique(curves.survey, return_counts=True)
    record = {
        "encoder": asdict(config),
        "embedding_names": task.names,
        "training": training_record(plan, losses),
        "labels_seen": [],
        "curves_seen": dict(zip(surveys.tolist(), counts.tolist(), strict=True)),
        **(about or {}),
    }
    save_encoder(module.eval().cpu(), out, record)
    return module


def training_record(plan: Any, losses: list[tuple[int, float]]) -> dict[str, Any]:
    """What config.json says about a run: its plan, versions and loss curve."""
    return {
        **asdict(plan),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "loss": losses[:: max(1, len(losses) // LOSSES_KEPT)],
    }


def train(
    module: Astromer, task: Task, plan: Any, out: Path, report: Report, *, resume: bool
) -> list[tuple[int, float]]:
    """Run the plan's steps; returns step and mean loss, as logged to log.csv.

    AdamW, linear warm-up, cosine decay, gradients clipped to 1.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(module.train(), task, plan, out)
    if resume:
        run.load()
    with (out / LOG_FILE).open("a" if resume else "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if not resume:
            writer.writerow(LOG_COLUMNS)
        started = time.monotonic()
        for step in range(run.done + 1, plan.steps + 1):
            run.step(step)
            report(step, run.losses[-1])
            if step % LOG_EVERY == 0 or step == plan.steps:
                writer.writerow(run.line(step, time.monotonic() - started))
                file.flush()
            if step % plan.save_every == 0 and step < plan.steps:
                run.save(step)
    (out / RESUME_FILE).unlink(missing_ok=True)
    return run.history


class _Run:
    """Weights, optimiser and losses of a run."""

    def __init__(self, module: Astromer, task: Task, plan: Any, out: Path) -> None:
        self._module, self._task, self._plan, self._out = module, task, plan, out
        if task.head is not None:
            task.head.to(module.embed.weight.device)
        heads = () if task.head is None else task.head.parameters()
        self._parameters = list(itertools.chain(module.parameters(), heads))
        self._optimiser = torch.optim.AdamW(
            self._parameters, lr=plan.learning_rate, weight_decay=1e-2
        )
        self.done = 0
        self.losses: list[float] = []
        self._explained: list[float] = []
        self.history: list[tuple[int, float]] = []

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        plan = self._plan
        warm = min(1.0, step / max(1, plan.warm_up_steps))
        return float(plan.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / plan.steps)))

    def step(self, step: int) -> None:
        """One batch."""
        torch.manual_seed(self._plan.seed * 1_000_003 + step)  # dropout
        for group in self._optimiser.param_groups:
            group["lr"] = self.rate(step)
        loss, explained = self._task.loss(
            self._module, np.random.default_rng((self._plan.seed, step))
        )
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f"the loss of step {step} is {value}")
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self.losses = [*self.losses[1 - LOG_EVERY :], value]
        self._explained = [*self._explained[1 - LOG_EVERY :], explained]

    def line(self, step: int, seconds: float) -> tuple[Any, ...]:
        """A row of the log; the mean of the last steps."""
        loss, explained = float(np.mean(self.losses)), float(np.mean(self._explained))
        self.history.append((step, round(loss, 5)))
        return step, f"{self.rate(step):.3e}", f"{loss:.5f}", f"{explained:.5f}", f"{seconds:.0f}"

    def save(self, step: int) -> None:
        """Write what `load` needs; the old file stays until the new one is whole."""
        state = {
            "plan": _same_run(self._plan),
            "step": step,
            "module": self._module.state_dict(),
            "head": {} if self._task.head is None else self._task.head.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "losses": self.losses,
            "explained": self._explained,
            "history": self.history,
        }
        part = self._out / f"{RESUME_FILE}.part"
        torch.save(state, part)
        part.replace(self._out / RESUME_FILE)

    def load(self) -> None:
        """Go on after the last saved step; TrainingError where there is none of this plan."""
        path = self._out / RESUME_FILE
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
            if state["plan"] != _same_run(self._plan):
                raise TrainingError(f"{path} is of another plan: {state['plan']}")
            self._module.load_state_dict(state["module"])
            if self._task.head is not None:
                self._task.head.load_state_dict(state["head"])
            self._optimiser.load_state_dict(state["optimiser"])
        except (OSError, RuntimeError, KeyError) as error:
            raise TrainingError(f"{path}: nothing to resume ({error})") from error
        self.done, self.losses, self._explained = state["step"], state["losses"], state["explained"]
        self.history = [tuple(line) for line in state["history"]]


def _same_run(plan: Any) -> dict[str, Any]:
    """The part of a plan that decides the weights."""
    return {name: value for name, value in asdict(plan).items() if name != "save_every"}
