"""`model evaluate`: the frozen protocols, with the packaged artefact's recipe and its rivals."""

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from models.engine import Embedder
    from models.protocols import Protocol


@click.command()
@click.option("--protocol", "names", required=True, multiple=True,
              help="P1, P1m, P1t, P2a, P2b, P3 or full name; repeatable.")  # fmt: skip
@click.option("--protocols", required=True, type=click.Path(path_type=Path), help="protocols.json")
@click.option("--train", multiple=True, required=True, type=click.Path(path_type=Path),
              help="Parquet of the training side; repeatable.")  # fmt: skip
@click.option("--test", multiple=True, type=click.Path(path_type=Path),
              help="Parquet of the test curves, else those of --train; repeatable.")  # fmt: skip
@click.option("--test-list", type=click.Path(path_type=Path), help="JSON of [object, band].")
@click.option("--out", required=True, type=click.Path(path_type=Path),
              help="SCORES.csv; of several protocols SCORES-NAME.csv each.")  # fmt: skip
@click.option("--encoder", type=click.Path(path_type=Path),
              help="Encoder or artefact, else the packaged one.")  # fmt: skip
@click.option("--astromer", type=click.Path(path_type=Path),
              help="Converted official weights (W.safetensors): two more rows.")  # fmt: skip
@click.option("--plots", type=click.Path(path_type=Path), help="Folder for PNG plots.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--no-baselines", is_flag=True, help="Only the recipe: about half of the time.")
def evaluate(names: tuple[str, ...], protocols: Path, **options: Any) -> None:
    """Train by a protocol, score the listed curves, write scores and print the table.

    Default list: the protocol's cal part, for P2a and P2b with every anomaly curve of --train.
    """
    from models.protocols import CLASSES, load_protocol, together
    from worker.commands.model.failures import as_config_errors

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options["several"] = len(names) > 1
    with as_config_errors():
        known = [load_protocol(protocols, name) for name in names]
        curves, embedder, rival = load(known, options)
        for group in together(known):
            if group[0].name == CLASSES:
                classes(group[0], curves, embedder, options)
            else:
                ranks(group, curves, embedder, rival, options)


def load(protocols: Sequence["Protocol"], options: dict[str, Any]) -> tuple[Any, ...]:
    """Curves of the training side, the encoder and its rival, if any."""
    from models import default_artifact
    from models.data import load_curves
    from models.engine import Embedder
    from models.evaluate import check_admissible
    from models.weights import load_encoder, load_weights, read_record

    folder = options["encoder"] or default_artifact()
    for protocol in protocols:
        check_admissible(protocol, read_record(folder))
    rival = options["astromer"] and Embedder(load_weights(options["astromer"]))
    return load_curves(options["train"], commercial=False), Embedder(load_encoder(folder)), rival


def chosen(protocol: "Protocol", curves: Any, options: dict[str, Any]) -> Any:
    """The curves to score."""
    from models.data import load_curves
    from models.evaluate import default_test
    from models.protocols import load_list, select

    listed = options["test_list"]
    pairs = load_list(listed) if listed else default_test(protocol, curves)
    test = options["test"]
    source = load_curves(test, commercial=False, smallest=1) if test else curves
    return select(source, pairs)


def ranks(
    group: Sequence["Protocol"], curves: Any, embedder: "Embedder", rival: "Embedder | None",
    options: dict[str, Any],
) -> None:  # fmt: skip
    """Protocols that rank: scores, tables and plots."""
    import numpy as np

    from models.evaluate import evaluate as score_folds
    from models.inputs import evaluated_views
    from models.recipe import Recipe
    from models.tables import table

    test = chosen(group[0], curves, options)
    found = score_folds(group, curves, test, evaluated_views(embedder, rival), Recipe(),
                        seeds=range(options["seeds"]),
                        baselines=not options["no_baselines"])  # fmt: skip
    for protocol in group:
        head = ("object_id", "band", "score", "left_out", "seed")
        write_rows(path_of(protocol, options), (*head, "k") if protocol.lengths else head,
                   found.rows(protocol))  # fmt: skip
        if np.any(test.label != ""):
            click.echo(table(protocol, found) + "\n")
        if options["plots"] is not None:
            from models.plots import plot_evaluation

            plot_evaluation(protocol, found, options["plots"])


def classes(
    protocol: "Protocol", curves: Any, embedder: "Embedder", options: dict[str, Any]
) -> None:
    """The protocol that classifies."""
    from models.classify import classify
    from models.inputs import views_of
    from models.tables import class_table

    test = chosen(protocol, curves, options)
    predicted = classify(protocol, curves, test, lambda part: views_of(embedder, part))
    head = ("object_id", "band", "predicted", "n_per_class", "seed")
    write_rows(path_of(protocol, options), head, predicted.rows())
    click.echo(class_table(protocol, predicted))


def path_of(protocol: "Protocol", options: dict[str, Any]) -> Path:
    """The file of a protocol's scores."""
    out: Path = options["out"]
    return out.with_stem(f"{out.stem}-{protocol.name}") if options["several"] else out


def write_rows(path: Path, head: tuple[str, ...], rows: Any) -> None:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
