"""`bench`: what this machine does with this worker, one command per figure of the README."""

import click

from worker.commands.lazy import LazyGroup

COMMANDS: dict[str, str] = {
    "decode": "worker.commands.bench.decode:decode",
    "embed": "worker.commands.bench.embed:embed",
    "pipeline": "worker.commands.bench.pipeline:pipeline",
    "naive": "worker.commands.bench.naive:naive",
    "visit": "worker.commands.bench.visit:visit",
    "state": "worker.commands.bench.state:state",
    "score": "worker.commands.bench.score:score",
    "scale": "worker.commands.bench.scale:scale",
}


@click.group(cls=LazyGroup, table=COMMANDS)
def bench() -> None:
    """Measure decoding, embedding, state and the whole pipeline."""
