"""The failure vocabulary: what can go wrong, and who deals with it."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes, after sysexits(3)."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    UNAVAILABLE = 69
    TEMPORARY = 75
    CONFIG = 78
    INTERRUPTED = 130


class AnomalyWorkerError(Exception):
    """Base of every error that the worker raises on purpose; carries its exit code."""

    exit_code = ExitCode.UNEXPECTED


class InvalidPacketError(AnomalyWorkerError):
    """A packet that can never succeed; its record becomes a dead letter.

    `reason` is one word of the closed vocabulary in `worker.types.outcomes.DEAD_LETTER_REASONS`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TransientError(AnomalyWorkerError):
    """A dependency is away; the same call may succeed later."""

    exit_code = ExitCode.UNAVAILABLE


class BatchAbortedError(AnomalyWorkerError):
    """The transaction was aborted; the input must be rewound to the committed offsets."""

    exit_code = ExitCode.TEMPORARY


class RestartRequiredError(AnomalyWorkerError):
    """This process can't go on safely; the orchestrator's restart is the recovery."""

    exit_code = ExitCode.TEMPORARY


class ConfigError(AnomalyWorkerError):
    """A setting, file or stored state contradicts what this worker was told to do."""

    exit_code = ExitCode.CONFIG


class UnavailableError(AnomalyWorkerError):
    """A dependency stayed unreachable beyond the retry budget."""

    exit_code = ExitCode.UNAVAILABLE
