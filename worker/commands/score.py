"""`score`: rank packets on disk, without Kafka."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from worker.commands.options import json_option, settings_options
from worker.commands.progress import Progress
from worker.commands.top import plain
from worker.config import load_settings
from worker.errors import UnavailableError
from worker.metrics import Metrics
from worker.ranking import Row, best_per_object, effective_p, order_key
from worker.settings import Settings
from worker.topics import Topics
from worker.types.records import Message


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@settings_options
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1),
              help="Rows of the table and of the HTML report.")  # fmt: skip
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False, writable=True),
              help="Write a report with the light curves of the strangest objects.")  # fmt: skip
@click.option("--parquet", type=click.Path(path_type=Path, dir_okay=False, writable=True),
              help="Write every scored alert.")  # fmt: skip
@json_option
def score(
    files: tuple[Path, ...],
    config: Path | None,
    assignments: tuple[str, ...],
    limit: int,
    html: Path | None,
    parquet: Path | None,
    *,
    as_json: bool,
) -> None:
    """Rank FILES: Avro packets or a nightly archive (.tar.gz), as `run` would score them.

    With --json one line per scored alert, strangest first; else a table of the strangest.
    """
    from worker.commands.offline import score_files
    from worker.encode import read_container

    settings = load_settings(config, assignments).settings
    metrics, progress = Metrics(), Progress("packets")
    sink = score_files(settings, files, metrics, progress.add)
    progress.close()
    topics = Topics(settings.output.topic)
    rows = [read_container(m.value or b"") for m in sink.on(topics.scores)]
    rows.sort(key=order_key)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    else:
        _print_table(rows[:limit])
    for message in sink.on(topics.dead_letters):
        _print_dead_letter(message)
    summary = f"{len(rows)} scored; {_counts(metrics)}"
    if parquet is not None:
        _write_parquet(parquet, rows)
    if html is not None:
        _write_html(html, settings, files, best_per_object(rows)[:limit], summary)
    click.echo(summary, err=True)


def _write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UnavailableError("Parquet needs: pip install 'anomaly-worker[train]'") from error
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def _write_html(
    path: Path,
    settings: Settings,
    files: Sequence[Path],
    rows: Sequence[Row],
    summary: str,
) -> None:
    from worker.commands.report import find_curves, place_of, write_report
    from worker.commands.wiring import make_decoder

    decoder = make_decoder(settings, single_record=False)
    write_report(path, rows, find_curves(decoder, files, map(place_of, rows)), summary)


def _print_table(rows: list[dict[str, Any]]) -> None:
    click.echo(f"{'rank':>4}  {'object':14} {'p':>9}  {'score':>7}  {'nearest':8} {'mag':>6} band  "
               f"{'points':>6}  flags")  # fmt: skip
    for place, row in enumerate(rows, 1):
        click.echo(
            f"{place:>4}  {plain(row['objectId'], 14):14} {effective_p(row):>9.2g}  "
            f"{row['score']:>7.2f}  "
            f"{row['nearest_class'] or '-':8} {row['magpsf']:>6.2f} {row['band']:4}  "
            f"{row['n_points']:>6}  {' '.join(row['flags'])}"
        )


def _print_dead_letter(message: Message) -> None:
    headers = {name: value.decode(errors="replace") for name, value in message.headers}
    click.echo(
        f"dead letter: {headers['input_topic']} record {headers['input_offset']}: "
        f"{headers['reason']}: {headers['error']}",
        err=True,
    )


def _counts(metrics: Metrics) -> str:
    counts = metrics.outcome_totals()
    return ", ".join(f"{outcome} {count}" for outcome, count in sorted(counts.items()))
