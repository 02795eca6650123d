"""`model probe`: encoders beside one another, each frozen, with the same heads and budget."""

import logging
from pathlib import Path

import click


@click.command()
@click.option("--encoder", "folders", multiple=True, required=True,
              type=click.Path(path_type=Path),
              help="Encoder, artefact or converted W.safetensors; repeatable.")  # fmt: skip
@click.option("--protocols", required=True, type=click.Path(path_type=Path), help="protocols.json")
@click.option("--train", multiple=True, required=True, type=click.Path(path_type=Path),
              help="Parquet of the training side; repeatable.")  # fmt: skip
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, 20))
def probe(folders: tuple[Path, ...], protocols: Path, train: tuple[Path, ...], seeds: int) -> None:
    """Print what each encoder is worth by itself, mean and scatter over seeds of the heads."""
    from models.data import load_curves
    from models.engine import Embedder
    from models.probe import FULL, PROTOCOLS, probe_table
    from models.probe import probe as run
    from models.protocols import load_protocol
    from models.weights import load_encoder, load_weights
    from worker.commands.model.failures import as_config_errors

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with as_config_errors():
        known = {name: load_protocol(protocols, name) for name in PROTOCOLS}
        curves = load_curves(train, commercial=False)
        found = {}
        for folder in folders:
            load = load_weights if folder.suffix == ".safetensors" else load_encoder
            found[str(folder)] = run(Embedder(load(folder)), known, curves, FULL, range(seeds))
    click.echo(probe_table(found))
