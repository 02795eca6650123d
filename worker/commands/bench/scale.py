"""`bench scale`: how the cost of an alert grows with history, number of objects, batch size."""

import json
from pathlib import Path
from typing import Any

import click

from worker.commands.options import json_option, set_option

HISTORIES = (20, 50, 100, 200, 500)
BATCHES = (16, 64, 256, 1024)
ALERTS = 4096
LABELS = {
    "history": "stored points per object and band",
    "batch": "records per batch",
    "objects": "objects in Redis",
}
USUAL_HISTORY, USUAL_BATCH, USUAL_OBJECTS = 50, 256, 4096


@click.command()
@click.option("--objects", "crowds", multiple=True, type=click.IntRange(1000),
              default=(1000, 30_000), show_default=True,
              help="Objects in Redis; repeatable.")  # fmt: skip
@click.option("--scoring", type=click.Choice(["packaged", "astromer2", "stub"]), default="stub",
              show_default=True)  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path), help="Write a plot (PNG) as well.")
@set_option
@json_option
def scale(
    crowds: tuple[int, ...],
    scoring: Any,
    plot: Path | None,
    assignments: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Processor time per alert of loop and Redis, Kafka left out.

    Varied one at a time: stored points per object and band, records per batch, objects in Redis.
    """
    from worker.commands.bench.scoring import make_scorer
    from worker.config import load_settings

    scorer = make_scorer(load_settings(None, assignments).settings, scoring)
    tables = {
        "history": {n: cost(scorer, n, USUAL_BATCH, USUAL_OBJECTS, assignments) for n in HISTORIES},
        "batch": {n: cost(scorer, USUAL_HISTORY, n, USUAL_OBJECTS, assignments) for n in BATCHES},
        "objects": {n: cost(scorer, USUAL_HISTORY, USUAL_BATCH, n, assignments) for n in crowds},
    }
    if plot is not None:
        draw(tables, plot)
    click.echo(json.dumps({"scoring": scoring, **tables}) if as_json else text_of(tables))


def cost(scorer: Any, points: int, batch: int, objects: int, extra: Any) -> dict[str, float]:
    """Microseconds per alert on a state of its own."""
    from dataclasses import asdict, replace

    from worker.commands.bench.field import Night, assignments, say, seed_state
    from worker.commands.bench.memory import run_in_memory
    from worker.commands.bench.servers import servers
    from worker.commands.wiring import connect_store
    from worker.config import load_settings

    night = Night.of((), objects, points, points)
    with servers("", None) as here:
        values = assignments("", here.redis_url, "scale", extra)
        settings = load_settings(None, values).settings
        seed_state(values, night)
        store = connect_store(settings)
        some = replace(night, alerts=ALERTS + 2 * batch)
        found = run_in_memory(settings, store, scorer, some, here.pids, batch)
        store.close()
    say(f"{points} points, batches of {batch}, {objects} objects: {found.processor:.0f} µs")
    return {**asdict(found), "processor": found.processor}


def text_of(tables: dict[str, Any]) -> str:
    """The tables for people."""
    lines = []
    for name, table in tables.items():
        lines.append(f"{name:>8}  processor µs/alert (loop + Redis), elapsed µs/alert")
        lines += [
            f"{n:>8}  {c['processor']:.0f} ({c['loop']:.0f} + {c['redis']:.0f}), {c['elapsed']:.0f}"
            for n, c in table.items()
        ]
    return "\n".join(lines)


def draw(tables: dict[str, Any], path: Path) -> None:
    """Alerts per second of processor time against each of the three."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(12, 3.5), layout="constrained")
    axes = figure.subplots(1, len(tables), sharey=True)
    for axis, (name, table) in zip(axes, tables.items(), strict=True):
        axis.plot(list(table), [1e6 / c["processor"] for c in table.values()], "o-")
        axis.set_xscale("log")
        axis.set_xticks(list(table), [f"{n:,}" for n in table])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel(LABELS[name])
    axes[0].set_ylabel("alerts per second and core")
    axes[0].set_ylim(bottom=0)
    figure.savefig(path, dpi=150)
