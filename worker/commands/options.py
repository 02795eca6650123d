"""Options that most commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file with settings.",
)
set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="A.B=VALUE",
    help="Set one value; repeatable; wins over file and environment.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Machine output on stdout.")


def settings_options(command: F) -> F:
    """Add --config and --set."""
    return config_option(set_option(command))
