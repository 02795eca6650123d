"""`vote`: say what an object is; changes what people see, never what workers emit."""

import getpass
import time
from pathlib import Path

import click

from worker.commands.options import settings_options
from worker.commands.reading import broker_settings
from worker.encode import write_vote
from worker.kafka import produce_all
from worker.topics import Topics
from worker.votes import LABELS

MAX_NAME = 256


@click.command()
@click.argument("object_id", metavar="OBJECT")
@click.argument("label", type=click.Choice(LABELS), required=False)
@settings_options
@click.option("--user", help="Who votes; default: the name of this account.")
@click.option("--withdraw", is_flag=True, help="Take the vote back.")
def vote(
    object_id: str,
    label: str | None,
    config: Path | None,
    assignments: tuple[str, ...],
    user: str | None,
    *,
    withdraw: bool,
) -> None:
    """Vote about OBJECT: artefact, known or interesting. The newest vote of a person counts.

    `rank`, `top` and `board` show votes; setting ranking.votes says what becomes of objects
    that more people dismiss than find interesting.
    """
    if (label is None) != withdraw:
        raise click.UsageError("give either a LABEL or --withdraw")
    name = user or getpass.getuser()
    if not object_id or "/" in object_id or max(len(object_id), len(name)) > MAX_NAME:
        raise click.UsageError("an object's name has 1 to 256 characters and no slash")
    settings = broker_settings(config, assignments)
    message = write_vote(
        Topics(settings.output.topic), object_id, name, label, int(time.time() * 1000)
    )
    produce_all({**settings.kafka.common, **settings.kafka.producer}, [message])
    click.echo(f"{object_id}: {label or 'withdrawn'} ({name})", err=True)
