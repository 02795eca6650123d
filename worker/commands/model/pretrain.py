"""`model pretrain`: train an encoder without labels."""

from pathlib import Path
from typing import Any

import click

from worker.commands.model.training import run_options


@click.command()
@run_options
@click.option("--task", type=click.Choice(["properties", "masked", "hidden"]), show_default=True,
              default="properties", help="Predict properties of the whole curve; or reconstruct "
              "masked magnitudes as published, or with them really hidden.")  # fmt: skip
@click.option("--steps", default=4500, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True)
@click.option("--points", default=12_000, show_default=True, help="Points of a batch.")
@click.option("--longest", default=200, show_default=True, help="Longest piece, in points.")
@click.option("--learning-rate", default=1e-3, show_default=True)
@click.option("--weighted", is_flag=True, help="The authors' error weights (masked tasks).")
@click.option("--save-every", default=500, show_default=True, help="Steps between saved states.")
@click.option("--simulated", default=4000, show_default=True, help="Simulated curves to add.")
@click.option("--leave-out", default="P2a_crts_transients", show_default=True,
              type=click.Choice(["P2a_crts_transients", "nothing"]),
              help="Protocol whose anomaly curves are not seen.")  # fmt: skip
@click.option("--version", default="2", type=click.Choice(["1", "2"]), show_default=True)
@click.option("--layers", default=3, show_default=True)
@click.option("--width", default=96, show_default=True)
@click.option("--heads", default=4, show_default=True)
@click.option("--hidden", default=192, show_default=True)
@click.option("--positions", type=click.Choice(["astromer", "log"]), default="log",
              show_default=True)  # fmt: skip
@click.option("--channels", type=click.Choice(["mag", "mag_error"]), default="mag_error",
              show_default=True)  # fmt: skip
@click.option("--pooling", type=click.Choice(["mean", "mean_max"]), default="mean_max",
              show_default=True)  # fmt: skip
@click.option("--mask-token", is_flag=True, help="Learn a magnitude for hidden steps.")
@click.option("--dropout", default=0.0, show_default=True)
def pretrain(
    files: tuple[Path, ...], out: Path, parts: str, device: str, *, resume: bool, **options: Any
) -> None:
    """Train an encoder on light curves without their labels.

    The defaults are the recipe of the packaged encoder; same seed and machine, same weights.
    """
    from models.astromer import AstromerConfig
    from models.data import concatenate, without_transients
    from models.pretrain import PretrainPlan
    from models.pretrain import pretrain as train_encoder
    from models.simulate import simulate_curves
    from models.tasks import TARGET_NAMES
    from worker.commands.model.failures import as_config_errors
    from worker.commands.model.training import load_parts, progress, torch_device

    shape = ("layers", "width", "heads", "hidden", "positions", "channels", "pooling",
             "mask_token", "dropout")  # fmt: skip
    config = AstromerConfig(
        version=1 if options["version"] == "1" else 2,
        targets=len(TARGET_NAMES) if options["task"] == "properties" else 0,
        **{name: options[name] for name in shape},
    )
    chosen = ("task", "steps", "seed", "points", "longest", "learning_rate", "weighted",
              "save_every")  # fmt: skip
    plan = PretrainPlan(**{name: options[name] for name in chosen})
    with as_config_errors():
        curves = load_parts(files, parts)
        left_out = [] if options["leave_out"] == "nothing" else [options["leave_out"]]
        if left_out:
            curves = without_transients(curves)
        if options["simulated"]:
            curves = concatenate([curves, simulate_curves(plan.seed + 11, options["simulated"])])
        about = {"parts_seen": sorted(parts.split(",")), "curves_left_out": left_out}
        click.echo(f"{len(curves):,} curves, {len(curves.time):,} points", err=True)
        with progress(plan.steps) as report:
            train_encoder(config, curves, plan, out, report, device=torch_device(device),
                          resume=resume, about=about)  # fmt: skip
