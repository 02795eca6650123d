"""Command line: `anomaly-worker COMMAND`; exit codes are those of `worker.errors.ExitCode`."""

import os
import signal
import sys
from collections.abc import Sequence

import click

from worker.commands.lazy import LazyGroup
from worker.compiled import use_compiled
from worker.errors import AnomalyWorkerError, ExitCode

COMMANDS = {
    "run": "worker.commands.run:run",
    "demo": "worker.commands.demo:demo",
    "check": "worker.commands.check:check",
    "decode": "worker.commands.decode:decode",
    "score": "worker.commands.score:score",
    "seed": "worker.commands.seed:seed",
    "simulate": "worker.commands.simulate:simulate",
    "replay": "worker.commands.replay:replay",
    "redrive": "worker.commands.redrive:redrive",
    "ledger": "worker.commands.ledger:ledger",
    "rank": "worker.commands.rank:rank",
    "tail": "worker.commands.tail:tail",
    "top": "worker.commands.top:top",
    "board": "worker.commands.board:board",
    "vote": "worker.commands.vote:vote",
    "compile": "worker.commands.compile:compile_all",
    "schema": "worker.commands.schema:schema",
    "bench": "worker.commands.bench:bench",
    "model": "worker.commands.model:model",
}
"""Imported when they are called: a command must not wait for what it does not use."""

EPILOG = (
    "Exit codes: 0 ok or drained, 1 unexpected, 2 usage, 69 dependency unreachable, "
    "75 temporary (start again), 78 bad configuration, 130 second Ctrl-C."
)


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="anomaly-worker")
def cli() -> None:
    """Rank survey alerts by how strange their light curves are."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a known failure is one line on stderr and its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["run"]:
        # A worker that is stopped while it still imports has nothing to drain; `run` itself
        # takes over once it is there.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(ExitCode.OK))
    use_compiled()
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
