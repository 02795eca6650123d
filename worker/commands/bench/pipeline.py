"""`bench pipeline`: BOOM's throughput protocol against a real Kafka and a real Redis.

All alerts are produced first, every object has a history; the wall time runs from the first
record consumed to the last commit acknowledged; then everything is counted.
"""

import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from worker.commands.bench.options import SCORING, night_options, server_options
from worker.commands.options import json_option

BOOM = "BOOM 883 alerts/s on 32 cores = 27.6 per core; Kowalski 118/s = 3.7 per core (published)"
DIFFERENCES = (
    "for us: no sky cross-match, no 25 filters, no cutout storage; "
    "for them: no transformer per alert, weaker delivery, empty state in the published run"
)


@click.command()
@night_options
@server_options
@SCORING
@click.option("--workers", "crews", multiple=True, default=(1,), show_default=True,
              type=click.IntRange(1, 64), help="Worker processes; repeatable.")  # fmt: skip
@click.option("--repeats", default=1, show_default=True, help="Runs; the median is the result.")
@click.option("--plot", type=click.Path(path_type=Path),
              help="Plot alerts/s against the number of workers (PNG).")  # fmt: skip
@json_option
def pipeline(
    files: tuple[Path, ...],
    alerts: int,
    median: float,
    p95: float,
    bootstrap: str | None,
    redis_url: str | None,
    assignments: tuple[str, ...],
    scoring: Any,
    crews: tuple[int, ...],
    repeats: int,
    plot: Path | None,
    *,
    as_json: bool,
) -> None:
    """Drain a night of alerts by BOOM's protocol; a result for each number of workers.

    FILES: packets that are multiplied into the night; without them they are simulated.
    """
    from worker.commands.bench.field import Night, say
    from worker.commands.bench.servers import servers

    night = Night.of(files, alerts, median, p95)
    say(f"{night.alerts} alerts of {night.objects} objects, {night.mean_bytes / 1e3:.1f} kB each")
    results = []
    with servers(bootstrap, redis_url) as here:
        for workers in crews:
            names = [f"{scoring}{workers}.{n}" for n in range(repeats)]
            runs = [drain(night, here, name, scoring, workers, assignments) for name in names]
            results.append(median_of(runs))
            click.echo(json.dumps(results[-1]) if as_json else text_of(results[-1]))
    if plot is not None:
        draw(results, plot)


def median_of(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run whose rate is nearest the median, and all rates."""
    rates = [run["alerts_per_s"] for run in runs]
    result = min(runs, key=lambda run: abs(run["alerts_per_s"] - statistics.median(rates)))
    return {**result, "runs_alerts_per_s": rates}


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Alerts per second against the number of workers, and each run's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axis = figure.subplots()
    workers = [result["workers"] for result in results]
    axis.plot(workers, [result["alerts_per_s"] for result in results], "o-")
    for result in results:
        rates = result["runs_alerts_per_s"]
        axis.plot([result["workers"]] * len(rates), rates, "k.", markersize=3)
    axis.set_xticks(workers)
    axis.set_xlabel(f"worker processes on {results[0]['cores']} cores, Kafka and Redis beside them")
    axis.set_ylabel("alerts per second")
    axis.set_ylim(bottom=0)
    figure.savefig(path, dpi=150)


def drain(
    night: Any, here: Any, prefix: str, scoring: Any, workers: int, extra: Sequence[str]
) -> dict[str, Any]:
    """One run on a fresh topic, state and group."""
    from worker.commands.bench.crew import crew
    from worker.commands.bench.field import OUT, TOPIC, make_scene, produce, say
    from worker.commands.bench.servers import cpu_seconds

    values, detections = make_scene(here, prefix, night, scoring, extra)
    topic = f"{TOPIC}.{prefix}"
    say(f"produced in {produce(here.bootstrap, topic, night.packets()):.0f} s")
    with crew(values, scoring, workers) as team:
        before = cpu_seconds(here.pids)
        team.await_records(night.alerts, limit_s=3600)
        servers_s = [b - a for a, b in zip(before, cpu_seconds(here.pids), strict=True)]
        reports = team.finish()
    result = result_of(reports, night.alerts, servers_s)
    checked = check(here.bootstrap, f"{OUT}.{prefix}", night.alerts)
    return {**result, **checked, "scoring": scoring, "workers": workers,
            "bytes_per_alert": round(night.mean_bytes),
            "points_per_band": round(detections / night.objects / 2, 1)}  # fmt: skip


def result_of(reports: Any, alerts: int, servers_s: Sequence[float]) -> dict[str, Any]:
    """Rates, and microseconds per alert of each stage and process."""
    first = min(report.first_s for report in reports if report.first_s)
    last = max(report.last_s for report in reports)
    cores, seconds = os.cpu_count() or 1, last - first
    stages = {
        name: round(1e6 * sum(r.stages.get(name, 0.0) for r in reports) / alerts, 1)
        for name in reports[0].stages
    }
    cpu = {
        "worker": sum(report.cpu_s for report in reports),
        **dict(zip(("redis", "kafka"), servers_s, strict=False)),
    }
    return {
        "alerts": alerts,
        "seconds": round(seconds, 2),
        "alerts_per_s": round(alerts / seconds, 1),
        "cores": cores,
        "alerts_per_s_per_core": round(alerts / seconds / cores, 1),
        "cores_used": round(sum(cpu.values()) / seconds, 2),
        "model": reports[0].model,
        "stage_us_per_alert": stages,
        "cpu_us_per_alert": {name: round(1e6 * value / alerts, 1) for name, value in cpu.items()},
    }


def check(bootstrap: str, out: str, alerts: int) -> dict[str, Any]:
    """The books balance, every alert is in them, no candid is scored twice.

    Raises click.ClickException otherwise.
    """
    from worker.encode import read_container
    from worker.kafka import read_all
    from worker.ledger import check as check_books

    config = {"bootstrap.servers": bootstrap}
    books = [read_container(r.value) for r in read_all(config, f"{out}.ledger") if r.value]
    report = check_books(books)
    candids = [
        read_container(r.value)["candid"] for r in read_all(config, f"{out}.scores") if r.value
    ]
    emitted = sum(1 for _ in read_all(config, out))
    counts = {name: report.total(name) for name in ("emitted", "withheld", "skipped", "duplicate")}
    faults = list(report.faults)
    if report.records != alerts:
        faults.append(f"{report.records} of {alerts} records are in the books")
    if len(set(candids)) != len(candids) or len(candids) != counts["emitted"] + counts["withheld"]:
        faults.append(f"{len(candids)} scores of {len(set(candids))} candids")
    if emitted != counts["emitted"]:
        faults.append(f"{emitted} alerts, the books say {counts['emitted']}")
    if faults:
        raise click.ClickException("; ".join(faults[:5]))
    return {**counts, "transactions": report.transactions, "checks": "passed"}


def text_of(result: dict[str, Any]) -> str:
    """The result for people."""
    rate, per_core = result["alerts_per_s"], result["alerts_per_s_per_core"]
    stages, cpu = (
        ", ".join(f"{name} {value}" for name, value in result[table].items())
        for table in ("stage_us_per_alert", "cpu_us_per_alert")
    )
    return f"""\
{rate:.0f} alerts/s on {result["cores"]} cores that Kafka and Redis share: {per_core:.0f} per core
scoring: {result["scoring"]} ({result["model"]}), {result["workers"]} worker(s)
{result["alerts"]} alerts of {result["bytes_per_alert"]} bytes in {result["seconds"]} s, \
{result["points_per_band"]} points per object and band, {result["emitted"]} emitted,
{result["cores_used"]} cores busy
microseconds per alert by stage: {stages}
processor time per alert: {cpu}
beside it: {BOOM}
differences: {DIFFERENCES}"""
