"""What `model pretrain` and `model finetune` share: curves, device, progress."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from models.data import CurveSet

F = TypeVar("F", bound=Callable[..., Any])

data_option = click.option(
    "--data", "files", multiple=True, required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Parquet file of light curves; repeatable.",
)  # fmt: skip
out_option = click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder for encoder.safetensors, config.json and log.csv.",
)  # fmt: skip
parts_option = click.option(
    "--parts", default="fit,val", show_default=True, help="Parts of the objects that are seen."
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu or cuda."
)
resume_option = click.option("--resume", is_flag=True, help="Go on after the last saved step.")


def run_options(command: F) -> F:
    """Add the options of every training command."""
    for option in (resume_option, device_option, parts_option, out_option, data_option):
        command = option(command)
    return command


def load_parts(files: Sequence[Path], parts: str) -> "CurveSet":
    """Curves of the objects in these parts; non-commercial sources are never read."""
    import numpy as np

    from models.data import load_curves, part_of

    wanted = set(parts.split(","))
    if not wanted <= {"fit", "val", "cal"}:
        raise click.UsageError("--parts takes fit, val and cal, separated by commas")
    curves = load_curves(files)
    keep = [part_of(name) in wanted for name in curves.object_id.tolist()]
    return curves.take(np.flatnonzero(keep))


def torch_device(wanted: str) -> str:
    """The device to train on; on a CPU with few cores every thread counts."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


@contextmanager
def progress(steps: int) -> Iterator[Callable[[int, float], None]]:
    """A progress bar on stderr with the loss of late."""
    from tqdm import tqdm

    with tqdm(total=steps, unit="step", mininterval=1.0) as bar:

        def report(step: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            bar.update(step - bar.n)

        yield report
