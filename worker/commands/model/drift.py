"""`model drift`: is p still flat? Nightly histogram and share below 0.01, as text or metrics."""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.commands.options import settings_options

if TYPE_CHECKING:
    from models.drift import NightDrift


@click.command()
@click.option("--from-topic", "topic", required=True, metavar="SCORES")
@click.option("--textfile", type=click.Path(path_type=Path),
              help="Write Prometheus metrics of the newest night here.")  # fmt: skip
@settings_options
def drift(
    topic: str, textfile: Path | None, config: Path | None, assignments: tuple[str, ...]
) -> None:
    """Show each night's share of p below 0.01, with its binomial error; `!` beyond 3 sigma.

    Three such nights in a row: calibrate again (`model calibrate`), it needs no training.
    """
    from models.drift import ALARM_SIGMA, night_drift
    from worker.commands.reading import broker_settings, decoded
    from worker.kafka import read_all
    from worker.night import night_of_jd

    settings = broker_settings(config, assignments)
    nights: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for read in read_all(settings.kafka.common, topic):
        record = decoded(read)
        if record is not None and record["survey"] == settings.source.survey:
            nights[night_of_jd(record["jd"], settings.source.longitude)].append(record)
    found = [d for n in sorted(nights) if (d := night_drift(n, nights[n])) is not None]
    for night in found:
        mark = "!" if abs(night.sigma) > ALARM_SIGMA else " "
        click.echo(f"{night.night} {mark} {night.objects:7d} objects, p < 0.01: "
                   f"{100 * night.share:.2f} +- {100 * night.error:.2f} %, "
                   f"histogram {night.histogram}")  # fmt: skip
    if textfile is not None and found:
        textfile.write_text(metrics_text(settings.source.survey, found[-1]), encoding="utf-8")


def metrics_text(survey: str, night: "NightDrift") -> str:
    """The night in Prometheus' text format."""
    label = f'{{survey="{survey}"}}'
    lines = [
        f"anomaly_worker_drift_objects{label} {night.objects}",
        f"anomaly_worker_drift_share_below_001{label} {night.share:.6g}",
        f"anomaly_worker_drift_share_error{label} {night.error:.6g}",
    ]
    lines += [
        f'anomaly_worker_drift_histogram{{survey="{survey}",bin="{number}"}} {count}'
        for number, count in enumerate(night.histogram)
    ]
    return "\n".join(lines) + "\n"
