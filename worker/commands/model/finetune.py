"""`model finetune`: train an encoder with labels."""

from pathlib import Path

import click

from worker.commands.model.training import run_options


@click.command()
@run_options
@click.option("--encoder", "source", required=True, help="Encoder to start from.",
              type=click.Path(exists=True, file_okay=False, path_type=Path))  # fmt: skip
@click.option("--steps", default=500, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("--points", default=12_000, show_default=True, help="Points of a batch.")
@click.option("--learning-rate", default=1e-4, show_default=True)
@click.option("--leave-out-class", "left_out", multiple=True,
              help="Class or group whose labels and curves are not used; repeatable.")  # fmt: skip
def finetune(
    files: tuple[Path, ...],
    out: Path,
    parts: str,
    device: str,
    source: Path,
    steps: int,
    seed: int,
    points: int,
    learning_rate: float,
    left_out: tuple[str, ...],
    *,
    resume: bool,
) -> None:
    """Fine-tune an encoder by classifying pieces of curves, every class equally often.

    config.json records the labels (`labels_seen`): `model evaluate` refuses protocols that leave
    one of them out. Prints the mean recall on the held-out part.
    """
    import numpy as np

    from models.finetune import FinetunePlan
    from models.finetune import finetune as train_encoder
    from models.weights import load_encoder, read_record
    from worker.commands.model.failures import as_config_errors
    from worker.commands.model.training import load_parts, progress, torch_device

    plan = FinetunePlan(steps=steps, seed=seed, points=points, learning_rate=learning_rate)
    with as_config_errors():
        curves, held_out = load_parts(files, parts), load_parts(files, "cal")
        keep = ~(np.isin(curves.group, left_out) | np.isin(curves.label, left_out))
        module = load_encoder(source).to(torch_device(device))
        with progress(steps) as report:
            recall = train_encoder(
                module, read_record(source), curves.take(np.flatnonzero(keep)), held_out, plan,
                out, report, resume=resume,
            )  # fmt: skip
    click.echo(f"mean recall of the classes, part cal: {recall:.3f}")
