"""Options that the benchmarks of the whole pipeline share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from worker.commands.bench.crew import Scoring
from worker.commands.options import set_option

F = TypeVar("F", bound=Callable[..., Any])

FILES = click.argument("files", nargs=-1, type=click.Path(path_type=Path, exists=True))
ALERTS = click.option("--alerts", default=29_142, show_default=True, type=click.IntRange(1))
MEDIAN = click.option("--median", default=30.0, show_default=True,
                      help="Seeded points per object and band: median.")  # fmt: skip
P95 = click.option("--p95", default=200.0, show_default=True, help="Their 95th percentile.")
BOOTSTRAP = click.option("--bootstrap", metavar="HOST:PORT",
                         help="A running Kafka; one is started otherwise.")  # fmt: skip
REDIS = click.option("--redis", "redis_url", metavar="URL",
                     help="A running Redis; one is started otherwise.")  # fmt: skip

SCORING = click.option("--scoring", type=click.Choice(get_args(Scoring)), default="packaged",
                       show_default=True)  # fmt: skip


def night_options(command: F) -> F:
    """What the input is made of."""
    return FILES(ALERTS(MEDIAN(P95(command))))


def server_options(command: F) -> F:
    """Where the servers are, and the worker's settings."""
    return BOOTSTRAP(REDIS(set_option(command)))
