"""What a probe of `check` finds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from worker.errors import AnomalyWorkerError, ExitCode
from worker.settings import Settings

Status = Literal["ok", "warning", "failed"]

SKEW_S = 2.0
"""Clocks further apart than this spoil latencies."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check: what was looked at, how it is, and what to do."""

    what: str
    status: Status
    detail: str
    advice: str = ""
    exit_code: int = ExitCode.OK


Probe = Callable[[Settings], Iterator[Finding]]


def guarded(what: str, probe: Probe, settings: Settings) -> Iterator[Finding]:
    """A probe's findings; what it raises is one too."""
    try:
        yield from probe(settings)
    except AnomalyWorkerError as error:
        yield Finding(what, "failed", str(error), exit_code=error.exit_code)
