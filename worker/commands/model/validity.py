"""`model validity`: do the artefact's p-values keep their promise on curves no head saw?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.commands.model.failures import as_config_errors
from worker.commands.model.training import data_option

if TYPE_CHECKING:
    from models.validity import Sample, Split


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
    from models.grown import unseen
    from models.scorer import Scorer
    from models.validity import large_surveys, sample

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
    from models.validity import GROWN, ONE_ALERT, PATTERNS, WHOLE, agreement, flagged, splits

    shares, tests, correlations = [], [], []
    for each in found:
        chosen = {kind: list(splits(each, kind)) for kind in (GROWN, ONE_ALERT, WHOLE)}
        for name, calibrations in chosen.items():
            cells = flagged(each, calibrations)
            row = [
                f"{100 * mean:.2f} +- {100 * scatter:.2f}" for mean, scatter, _ in cells.values()
            ]
            shares.append([each.survey, name, *row])
        shares.append(["", "curves", *(f"{count:,}" for *_, count in cells.values())])
        tests += agreement_rows(each.survey, agreement(each, chosen[GROWN]))
        correlations += leak_rows(each, chosen)
    lengths = [name if name in {"whole", "grown"} else f"{name} points" for name in cells]
    classes = ["survey", "class", "curves", "scores of the 1,000", "number", *PATTERNS]
    return "\n\n".join([
        "Flagged at a nominal 1 %, in %, by length",
        table(["survey", "scores of the 1,000", *lengths], shares),
        "p of unseen inliers against p of those that calibrated: two-sample KS",
        table(["survey", "points", "judged", "median p", "passed"], tests),
        "Spearman correlation of p, class by class",
        table(classes, correlations),
    ])  # fmt: skip


def agreement_rows(survey: str, found: Sequence[tuple[str, int, float, float]]) -> list[list[str]]:
    """All lengths, and the bins together with the one that agrees least."""
    (_, judged, p, passed), *bins = found
    rows = [[survey, "all lengths", f"{judged:,}", f"{p:.2f}", f"{100 * passed:.0f} %"]]
    if bins:
        name, judged, p, passed = min(bins, key=lambda row: (row[3], row[2]))
        rows.append([survey, f"worst of {len(bins)} bins: {name}", f"{judged:,}", f"{p:.2f}",
                     f"{100 * passed:.0f} %"])  # fmt: skip
    return rows


def leak_rows(found: "Sample", chosen: Mapping[str, Sequence["Split"]]) -> list[list[str]]:
    """Whole curves by every kind of calibration, growing ones by those made of growing ones."""
    from models.validity import WHOLE, leaks, one_each

    judged = [("whole", found.whole, kind) for kind in chosen]
    grown = one_each(found.grown)
    judged += [("grown", grown, kind) for kind in chosen if kind != WHOLE]
    return [
        [found.survey, group, name, kind, f"{count:,}", *(f"{v:+.2f}" for v in values)]
        for name, part, kind in judged
        for group, count, values in leaks(part, chosen[kind])
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
