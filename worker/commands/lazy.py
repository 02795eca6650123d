"""A command group whose commands are imported when they are called: `--help` never waits long."""

import importlib
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """Commands by name as "module:attribute", listed in the order of the table."""

    def __init__(self, *args: object, table: Mapping[str, str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed through to click
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the table."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - same
        """Import the command's module and return its click command."""
        target = self._table.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{target} is no click command")
        return command
