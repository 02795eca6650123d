"""Signals: the first asks the loop to stop, the second ends the process."""

import faulthandler
import os
import signal
import threading
from types import FrameType

from worker.errors import ExitCode


def stop_on_signals(deadline_s: float) -> threading.Event:
    """An event that TERM or INT sets; a second signal, or a missed deadline, ends the process.

    USR1 dumps every thread's stack to stderr.
    """
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(ExitCode.INTERRUPTED)
        stop.set()
        watchdog = threading.Timer(deadline_s, os._exit, (ExitCode.TEMPORARY,))
        watchdog.daemon = True
        watchdog.start()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    faulthandler.register(signal.SIGUSR1)
    return stop
