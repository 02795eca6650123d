"""`score`: rank packets on disk, without Kafka."""

import json
from pathlib import Path
from typing import Any

import click

from worker.commands.options import json_option, settings_options
from worker.config import load_settings
from worker.metrics import Metrics
from worker.topics import Topics


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@settings_options
@click.option("--limit", default=20, show_default=True, help="Rows of the table.")
@json_option
def score(
    files: tuple[Path, ...],
    config: Path | None,
    assignments: tuple[str, ...],
    limit: int,
    *,
    as_json: bool,
) -> None:
    """Rank FILES: Avro packets or a nightly archive (.tar.gz), as `run` would score them.

    With --json one line per scored alert, strangest first; else a table of the strangest.
    """
    from worker.commands.offline import score_files
    from worker.encode import read_container

    settings = load_settings(config, assignments).settings
    metrics = Metrics()
    sink = score_files(settings, files, metrics)
    topics = Topics(settings.output.topic)
    rows = [read_container(m.value or b"") for m in sink.on(topics.scores)]
    rows.sort(key=_order)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    else:
        _print_table(rows[:limit])
    for message in sink.on(topics.dead_letters):
        headers = {name: value.decode(errors="replace") for name, value in message.headers}
        click.echo(
            f"dead letter: {headers['input_topic']} record {headers['input_offset']}: "
            f"{headers['reason']}: {headers['error']}",
            err=True,
        )
    click.echo(f"{len(rows)} scored; {_counts(metrics)}", err=True)


def _order(row: dict[str, Any]) -> tuple[float, float]:
    p = row["p"] if row["p"] is not None else row["p_provisional"]
    return (1.0 if p is None else p, -row["score"])


def _print_table(rows: list[dict[str, Any]]) -> None:
    click.echo(f"{'rank':>4}  {'object':14} {'p':>9}  {'score':>7}  {'nearest':8} {'mag':>6} band  "
               f"{'points':>6}  flags")  # fmt: skip
    for place, row in enumerate(rows, 1):
        click.echo(
            f"{place:>4}  {row['objectId'][:14]:14} {_order(row)[0]:>9.2g}  {row['score']:>7.2f}  "
            f"{row['nearest_class'] or '-':8} {row['magpsf']:>6.2f} {row['band']:4}  "
            f"{row['n_points']:>6}  {' '.join(row['flags'])}"
        )


def _counts(metrics: Metrics) -> str:
    counts = metrics.outcome_totals()
    return ", ".join(f"{outcome} {count}" for outcome, count in sorted(counts.items()))
