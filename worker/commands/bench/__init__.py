"""`bench`: what this machine does with this worker, one command per figure of the README."""

import click

from worker.commands.lazy import LazyGroup

COMMANDS: dict[str, str] = {
    "decode": "worker.commands.bench.decode:decode",
}


@click.group(cls=LazyGroup, table=COMMANDS)
def bench() -> None:
    """Measure decoding, embedding, state and the whole pipeline."""
