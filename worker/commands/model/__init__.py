"""`model`: look at, convert, train, calibrate and evaluate models."""

import click

from worker.commands.lazy import LazyGroup

COMMANDS: dict[str, str] = {}


@click.group(cls=LazyGroup, table=COMMANDS)
def model() -> None:
    """Look at, convert, train, calibrate and evaluate models."""
