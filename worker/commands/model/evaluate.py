"""`model evaluate`: the frozen protocols, with the packaged artefact's recipe and its rivals."""

import csv
import logging
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("--protocol", "name", required=True, help="P1, P1m, P1t, P2a, P2b, P3 or full name.")
@click.option("--protocols", required=True, type=click.Path(path_type=Path), help="protocols.json")
@click.option("--train", multiple=True, required=True, type=click.Path(path_type=Path),
              help="Parquet of the training side; repeatable.")  # fmt: skip
@click.option("--test", multiple=True, type=click.Path(path_type=Path),
              help="Parquet of the test curves, else those of --train; repeatable.")  # fmt: skip
@click.option("--test-list", type=click.Path(path_type=Path), help="JSON of [object, band].")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="SCORES.csv")
@click.option("--encoder", type=click.Path(path_type=Path),
              help="Encoder or artefact, else the packaged one.")  # fmt: skip
@click.option("--plots", type=click.Path(path_type=Path), help="Folder for PNG plots.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--no-baselines", is_flag=True, help="Only the recipe: about half of the time.")
def evaluate(
    name: str,
    protocols: Path,
    train: tuple[Path, ...],
    test: tuple[Path, ...],
    test_list: Path | None,
    out: Path,
    encoder: Path | None,
    plots: Path | None,
    seeds: int,
    *,
    no_baselines: bool,
) -> None:
    """Train by a protocol, score the listed curves, write scores and print the table.

    Default list: the protocol's cal part, for P2a and P2b with every anomaly curve of --train.
    """
    import numpy as np

    from models import default_artifact
    from models.classify import classify
    from models.data import load_curves
    from models.engine import Embedder
    from models.evaluate import check_admissible, default_test
    from models.evaluate import evaluate as run
    from models.protocols import CLASSES, load_list, load_protocol, select
    from models.recipe import Recipe
    from models.tables import class_table, table
    from models.weights import load_encoder, read_record
    from worker.commands.model.failures import as_config_errors

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = encoder or default_artifact()
    with as_config_errors():
        protocol = load_protocol(protocols, name)
        check_admissible(protocol, read_record(folder))
        embedder = Embedder(load_encoder(folder))
        curves = load_curves(train, commercial=False)
        listed = load_list(test_list) if test_list else default_test(protocol, curves)
        source = load_curves(test, commercial=False, smallest=1) if test else curves
        chosen = select(source, listed)
        if protocol.name == CLASSES:
            predicted = classify(protocol, curves, chosen, embedder, Recipe())
            write_rows(out, ("object_id", "band", "predicted", "n_per_class", "seed"),
                       predicted.rows())  # fmt: skip
            click.echo(class_table(protocol, predicted))
            return
        found = run(protocol, curves, chosen, embedder, Recipe(), seeds=range(seeds),
                    baselines=not no_baselines)  # fmt: skip
    head = ("object_id", "band", "score", "left_out", "seed")
    write_rows(out, (*head, "k") if protocol.lengths else head,
               found.rows(with_length=bool(protocol.lengths)))  # fmt: skip
    if any(np.unique(chosen.label) != ""):
        click.echo(table(protocol, found))
    if plots is not None:
        from models.plots import plot_evaluation

        plot_evaluation(protocol, found, plots)


def write_rows(path: Path, head: tuple[str, ...], rows: Any) -> None:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
