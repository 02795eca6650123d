"""`schema`: print what we write."""

import json

import click

from worker.encode.avro import NAMES, schema_text
from worker.encode.fink import fink_view


@click.command()
@click.argument("name", type=click.Choice(NAMES), default="anomaly")
@click.option("--fink", is_flag=True, help="As fink-client reads it: the container is a record.")
def schema(name: str, *, fink: bool) -> None:
    """Print the Avro schema NAME of the output topics; `anomaly` is that of the alerts."""
    text = json.dumps(fink_view(name), indent=1) if fink else schema_text(name).rstrip()
    click.echo(text)
