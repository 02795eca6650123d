"""`model validity`: do the artefact's p-values keep their promise on curves no head saw?"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.commands.model.failures import as_config_errors
from worker.commands.model.training import data_option

if TYPE_CHECKING:
    from models.validity import Sample


@click.command()
@data_option
@click.option("--model", "directory", type=click.Path(path_type=Path),
              help="Artefact, else the packaged one.")  # fmt: skip
@click.option("--survey", "surveys", multiple=True,
              help="Survey to judge, else all with 1,300 objects; repeatable.")  # fmt: skip
def validity(files: tuple[Path, ...], directory: Path | None, surveys: tuple[str, ...]) -> None:
    """Print shares flagged at a nominal 1 %, agreement of p-values, and leaks, as Markdown.

    Objects that trained no head, 1,000 of each survey calibrate, the others are judged; means of
    20 random choices. Takes some minutes.
    """
    from models import default_artifact
    from models.data import load_curves
    from models.scorer import Scorer
    from models.validity import large_surveys, sample, unseen

    with as_config_errors():
        scorer = Scorer.load(directory or default_artifact(), "cpu")
        curves = unseen(load_curves(files), scorer.classes)
        large = large_surveys(curves)
        if not set(surveys) <= set(large) or not large:
            raise click.UsageError(f"only surveys with 1,300 such objects: {', '.join(large)}")
        found = [sample(scorer, curves, name) for name in surveys or large]
    click.echo(report(found))


def report(found: Sequence["Sample"]) -> str:
    """Three tables; a stream calibrates with one alert of an object (`model calibrate`)."""
    from models.validity import PATTERNS, agreement, flagged, leaks, splits

    shares, tests, correlations = [], [], []
    for each in found:
        grown = list(splits(each))
        alerts = list(splits(each, one_alert=True))
        for name, chosen in (("every bin", grown), ("one alert", alerts)):
            cells = flagged(each, chosen)
            row = [
                f"{100 * mean:.2f} +- {100 * scatter:.2f}" for mean, scatter, _ in cells.values()
            ]
            shares.append([each.survey, name, *row])
        shares.append(["", "curves", *(f"{count:,}" for *_, count in cells.values())])
        tests += [[each.survey, name, f"{count:,}", f"{p:.2f}", f"{100 * passed:.0f} %"]
                  for name, count, p, passed in agreement(each, grown)]  # fmt: skip
        correlations += [[each.survey, group, name, f"{count:,}", *(f"{v:+.2f}" for v in values)]
                         for group, name, count, values in leaks(each, grown)]  # fmt: skip
    lengths = [name if name in {"whole", "grown"} else f"{name} points" for name in cells]
    return "\n\n".join([
        "Flagged at a nominal 1 %, in %, by length",
        table(["survey", "scores of the 1,000", *lengths], shares),
        "p of unseen inliers against p of those that calibrated: two-sample KS",
        table(["survey", "points", "judged", "median p", "passed"], tests),
        "Spearman correlation of p, class by class",
        table(["survey", "class", "curves", "number", *PATTERNS], correlations),
    ])  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
