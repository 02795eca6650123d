"""`run --workers N`: one process per slot under one parent."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.commands.shutdown import stop_on_signals
from worker.errors import ExitCode
from worker.settings import Settings

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2

GRACE_S = 5.0
"""Beyond the workers' own deadline, before the parent gives them up."""


def run_crew(
    settings: Settings, config: Path | None, assignments: Sequence[str], count: int
) -> int:
    """Start `count` workers, pass TERM on, wait for all; the worst exit code.

    When one ends, the others are asked to drain: the orchestrator's restart starts all anew.
    """
    deadline_s = settings.worker.shutdown_timeout_s + GRACE_S
    stop = stop_on_signals(deadline_s)
    crew = [_start(settings, config, assignments, number, count) for number in range(count)]
    while all(member.poll() is None for member in crew) and not stop.wait(LOOK_EVERY_S):
        pass
    for member in crew:
        if member.poll() is None:
            member.send_signal(signal.SIGTERM)
    codes = [_code_of(member, deadline_s) for member in crew]
    log.info("workers ended with %s", codes)
    return max(codes)


def _start(
    settings: Settings, config: Path | None, assignments: Sequence[str], number: int, count: int
) -> subprocess.Popen[bytes]:
    worker = settings.worker
    own = [*assignments, f'worker.slot="{settings.slot}.{number}"']
    if worker.metrics_port:
        own.append(f"worker.metrics_port={worker.metrics_port + number}")
    command = [sys.executable, "-m", "worker", "run"]
    if config is not None:
        command += ["--config", str(config)]
    for assignment in own:
        command += ["--set", assignment]
    threads = str(max(1, (os.cpu_count() or 1) // count))
    # A limit on threads that the operator set wins over an even share of the cores.
    return subprocess.Popen(command, env={"OMP_NUM_THREADS": threads, **os.environ})  # noqa: S603 - ourselves


def _code_of(member: subprocess.Popen[bytes], deadline_s: float) -> int:
    """How a worker ended; a signal counts as the shell counts it, our TERM as a drain."""
    try:
        code = member.wait(deadline_s)
    except subprocess.TimeoutExpired:
        member.kill()
        member.wait()
        return int(ExitCode.TEMPORARY)
    if code == -signal.SIGTERM:
        return int(ExitCode.OK)  # it had not begun, so there was nothing to drain
    return code if code >= 0 else 128 - code
