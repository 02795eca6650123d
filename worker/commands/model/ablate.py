"""`model ablate`: what each choice of the encoder's recipe is worth."""

import csv
import logging
from pathlib import Path

import click

from worker.commands.model.training import data_option


@click.command()
@data_option
@click.option("--protocols", required=True, type=click.Path(path_type=Path), help="protocols.json")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="Folder of table.csv and the rows' encoders.")  # fmt: skip
@click.option("--row", "names", multiple=True, help="Row of the table, else all; repeatable.")
@click.option("--steps", default=500, show_default=True, type=click.IntRange(1))
@click.option("--points", default=3000, show_default=True, help="Points of a batch.")
@click.option("--threads", default=1, show_default=True, help="Threads of the training.")
def ablate(
    files: tuple[Path, ...], protocols: Path, out: Path, names: tuple[str, ...], steps: int,
    points: int, threads: int,
) -> None:  # fmt: skip
    """Train each row with the same small budget, probe it, print the table.

    One seed: differences below .02 mean nothing. The anomaly curves of P2a train nothing.
    """
    import torch

    from models.ablation import Ablation, named
    from models.data import load_curves, without_transients
    from models.pretrain import PretrainPlan
    from models.probe import COLUMNS, PROTOCOLS, QUICK, probe, probe_table
    from models.protocols import load_protocol
    from worker.commands.model.failures import as_config_errors
    from worker.commands.model.training import load_parts

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan = PretrainPlan(steps=steps, points=points, warm_up_steps=steps // 5)
    found = {}
    with as_config_errors():
        rows = named(names)
        known = {name: load_protocol(protocols, name) for name in PROTOCOLS}
        everything = load_curves(files, commercial=False)
        ablation = Ablation(without_transients(load_parts(files, "fit,val")), plan)
        for name, row in rows.items():
            torch.set_num_threads(threads)
            embedder = ablation.train(row, out / name.replace(" ", "-"))
            found[name] = probe(embedder, known, everything, QUICK, (0,))
            with (out / "table.csv").open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow([name, *(f"{v:.4f}" for v in found[name][0])])
            logging.getLogger(__name__).info("%s: %s %s", name, COLUMNS, found[name][0])
    click.echo(probe_table(found))
