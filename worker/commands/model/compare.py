"""`model compare`: how two models order the same alerts."""

import json
from pathlib import Path

import click

from worker.commands.options import json_option, settings_options


@click.command()
@click.argument("first", metavar="A.scores")
@click.argument("second", metavar="B.scores")
@settings_options
@json_option
def compare(
    first: str, second: str, config: Path | None, assignments: tuple[str, ...], *, as_json: bool
) -> None:
    """Print the difference between two scores topics: same curves, two models."""
    from models.drift import compare_scores
    from worker.commands.reading import broker_settings, decoded
    from worker.kafka import read_all

    common = broker_settings(config, assignments).kafka.common
    sides = [[r for read in read_all(common, topic) if (r := decoded(read)) is not None]
             for topic in (first, second)]  # fmt: skip
    found = compare_scores(sides[0], sides[1])
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        click.echo(f"{name.replace('_', ' '):24} {value:g}")
