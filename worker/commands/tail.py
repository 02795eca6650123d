"""`tail`: the output as it comes."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from worker.commands.options import json_option, settings_options
from worker.commands.reading import broker_settings, decoded
from worker.commands.top import percentile, plain
from worker.kafka import TopicReader
from worker.night import JD_UNIX_EPOCH
from worker.ranking import effective_p
from worker.settings import Settings
from worker.topics import Topics

POLL_S = 0.5
STAMPS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a row must satisfy; None asks nothing. `min_percentile` in percent, `max_mag` in mag."""

    object_id: str | None = None
    nearest_class: str | None = None
    min_percentile: float | None = None
    max_mag: float | None = None

    def passes(self, row: Mapping[str, Any]) -> bool:
        """Whether a flat row (see `flat`) is wanted."""
        return (
            self.object_id in {None, row["objectId"]}
            and self.nearest_class in {None, row["nearest_class"]}
            and (self.max_mag is None or row["magpsf"] <= self.max_mag)
            and (self.min_percentile is None or 100 * (1 - effective_p(row)) >= self.min_percentile)
        )


@click.command()
@settings_options
@click.option("--scores", is_flag=True, help="Every scored alert (slim), not only emitted ones.")
@click.option("--start-at", default="latest", show_default=True, metavar="WHEN",
              help="earliest, latest or an ISO time.")  # fmt: skip
@click.option("--object", "object_id", help="Only this object.")
@click.option("--class", "nearest_class", help="Only objects nearest to this class.")
@click.option("--min-percentile", type=click.FloatRange(0, 100), help="Only these and stranger.")
@click.option("--max-mag", type=float, help="Only these and brighter.")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many.")
@click.option("--until-eof", is_flag=True, help="End at the present end of the topic.")
@json_option
def tail(
    config: Path | None,
    assignments: tuple[str, ...],
    start_at: str,
    object_id: str | None,
    nearest_class: str | None,
    min_percentile: float | None,
    max_mag: float | None,
    limit: int | None,
    *,
    scores: bool,
    until_eof: bool,
    as_json: bool,
) -> None:
    """Follow emitted alerts, one line each; Ctrl-C ends.

    With --json each line is the alert but for its stamps. The percentile of an uncalibrated
    survey is the provisional one, marked ~.
    """
    settings = broker_settings(config, assignments)
    wanted = Filter(object_id, nearest_class, min_percentile, max_mag)
    shown = 0
    try:
        for record in _records(settings, start_at, scores=scores, until_eof=until_eof):
            row = flat(record)
            if not wanted.passes(row):
                continue
            click.echo(json.dumps(jsonable(record)) if as_json else line(row))
            shown += 1
            if shown == limit:
                return
    except (KeyboardInterrupt, BrokenPipeError):
        return


def flat(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """An alert as the slim record of the scores topic; a slim record as it is."""
    if "anomaly" not in record:
        return record
    names = ("jd", "ra", "dec", "band", "magpsf")
    return {
        **{name: record["candidate"][name] for name in names},
        **record["anomaly"],
        "objectId": record["objectId"],
        "candid": record["candid"],
        "outcome": "emitted",
    }


def line(row: Mapping[str, Any]) -> str:
    """One line of text."""
    moment = datetime.fromtimestamp((row["jd"] - JD_UNIX_EPOCH) * 86_400, UTC)
    remarks = list(row["flags"])
    if row["outcome"] != "emitted":
        remarks.append(f"({row['outcome']})")
    return (
        f"{moment:%Y-%m-%d %H:%M}  {plain(row['objectId'], 14):14} {percentile(row):>10}  "
        f"{row['score']:>8.2f}  {plain(row['nearest_class'] or '-', 10):10} "
        f"{row['magpsf']:>6.2f} {plain(row['band'], 2):2} {row['n_points']:>4} points  "
        f"{plain(' '.join(remarks), 80)}"
    ).rstrip()


def jsonable(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without stamps; what is not finite is null, for JSON has no word for it."""
    return {name: _plain_value(value) for name, value in record.items() if name not in STAMPS}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain_value(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def since_ms(start_at: str, now_s: float) -> int | None:
    """Unix ms to read from, None for the beginning; UsageError for what is no time."""
    if start_at == "earliest":
        return None
    if start_at == "latest":
        return int(now_s * 1000)
    try:
        moment = datetime.fromisoformat(start_at)
    except ValueError as error:
        raise click.UsageError(f"--start-at {start_at}: {error}") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _records(
    settings: Settings, start_at: str, *, scores: bool, until_eof: bool
) -> Iterator[dict[str, Any]]:
    topics = Topics(settings.output.topic)
    topic = topics.scores if scores else topics.out
    reader = TopicReader(settings.kafka.common, topic, since_ms(start_at, time.time()))
    try:
        for read in reader.drain():
            if (record := decoded(read)) is not None:
                yield record
        while not until_eof:
            found = reader.poll(POLL_S)
            if found is not None and (record := decoded(found)) is not None:
                yield record
    finally:
        reader.close()
