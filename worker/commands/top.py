"""`top`: a night's ranking as a table or as JSON lines."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from worker.commands.options import json_option, settings_options
from worker.commands.reading import broker_settings, ranking_of
from worker.night import JD_UNIX_EPOCH
from worker.ranking import effective_p

HEADER = (
    f"{'rank':>4}  {'object':14} {'percentile':>10}  {'score':>8}  {'nearest':10} {'mag':>6} band  "
    f"{'age':>5}  {'emitted':>7}  votes and flags"
)


@click.command()
@settings_options
@click.option("--night", metavar="YYYYMMDD", help="Default: the newest night.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="Rows.")
@json_option
def top(
    config: Path | None,
    assignments: tuple[str, ...],
    night: str | None,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """Show the ranking of tonight, or of any night that `rank` has ranked.

    With --json one line per row; the night's sums go to stderr.
    """
    settings = broker_settings(config, assignments)
    ranking = ranking_of(settings, night)
    rows = ranking["rows"][:limit]
    if as_json:
        for row in rows:
            click.echo(json.dumps({"night": ranking["night"], **row}))
    else:
        click.echo(HEADER)
        for row in rows:
            click.echo(table_row(row, time.time()))
    click.echo(sums(ranking), err=True)


def table_row(row: Mapping[str, Any], now_s: float) -> str:
    """One line of the table; `now_s` Unix time, for the age."""
    votes = [f"{label}:{count}" for label, count in sorted(row["votes"].items())]
    remarks = [*votes, *row["flags"]]
    if row["outcome"] != "emitted":
        remarks.append(f"({row['outcome']})")
    return (
        f"{row['rank']:>4}  {plain(row['objectId'], 14):14} {percentile(row):>10}  "
        f"{row['score']:>8.2f}  {plain(row['nearest_class'] or '-', 10):10} "
        f"{row['magpsf']:>6.2f} {row['band']:4}  {age(row['jd'], now_s):>5}  "
        f"{row['emissions_90d']:>7}  {plain(' '.join(remarks), 80)}"
    ).rstrip()


def percentile(row: Mapping[str, Any]) -> str:
    """To the digits that tell the strangest apart; marked ~ where it is provisional."""
    text = f"{100 * (1 - effective_p(row)):.4f}"
    return text if row["p"] is not None else f"~{text}"


def age(jd: float, now_s: float) -> str:
    """Time since an epoch in its largest unit."""
    minutes = max(0.0, (now_s / 86_400 + JD_UNIX_EPOCH - jd) * 1440)
    if minutes < 100:
        return f"{minutes:.0f}m"
    return f"{minutes / 60:.0f}h" if minutes < 48 * 60 else f"{minutes / 1440:.0f}d"


def plain(text: str, width: int) -> str:
    """Text of strangers, safe on a terminal: control characters are shown as `?`."""
    return "".join(c if c.isprintable() else "?" for c in text)[:width]


def sums(ranking: Mapping[str, Any]) -> str:
    """The night in one sentence."""
    false_alarms = ranking["expected_false_alarms"]
    expected = (
        "uncalibrated" if false_alarms is None else f"{false_alarms:.1f} false alarms expected"
    )
    state = "over" if ranking["final"] else "not over"
    return (
        f"night {ranking['night']} ({ranking['survey']}), {state}: {ranking['scored']} scored, "
        f"{ranking['emitted']} emitted, {expected}; "
        f"model {ranking['model']} {ranking['model_version']}"
    )
