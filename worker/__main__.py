"""Command line: `anomaly-worker COMMAND`; exit codes are those of `worker.errors.ExitCode`."""

import importlib
import sys
from collections.abc import Sequence

import click

from worker.errors import AnomalyWorkerError, ExitCode

COMMANDS = {
    "run": "worker.commands.run:run",
    "demo": "worker.commands.demo:demo",
    "check": "worker.commands.check:check",
    "decode": "worker.commands.decode:decode",
    "score": "worker.commands.score:score",
    "seed": "worker.commands.seed:seed",
    "simulate": "worker.commands.simulate:simulate",
    "ledger": "worker.commands.ledger:ledger",
    "rank": "worker.commands.rank:rank",
    "top": "worker.commands.top:top",
    "schema": "worker.commands.schema:schema",
    "bench": "worker.commands.bench:bench",
    "model": "worker.commands.model:model",
}
"""Commands are imported when they are called: `--help` must not wait for torch."""

EPILOG = (
    "Exit codes: 0 ok or drained, 1 unexpected, 2 usage, 69 dependency unreachable, "
    "75 temporary (start again), 78 bad configuration, 130 second Ctrl-C."
)


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the table above."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module and return its click command."""
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{target} is no click command")
        return command


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="anomaly-worker")
def cli() -> None:
    """Rank survey alerts by how strange their light curves are."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a known failure is one line on stderr and its exit code."""
    try:
        code = cli.main(args=arguments, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else ExitCode.OK)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except AnomalyWorkerError as error:
        click.echo(f"anomaly-worker: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
