"""Forks workers that have everything imported: a restart costs no seconds.

Nothing here may start a thread, and so no model is loaded before a fork: no child inherits the
threads of a pool, and one that waits for them hangs.

Reads one JSON line per worker from stdin ({"arguments", "log"}), answers {"started": pid} and,
when one ends, {"ended": pid, "code": exit code or minus the signal}. The children run
`anomaly-worker` with these arguments and nothing else changed but the traps of
`tests.chaos.traps`, which do nothing until one is armed.
"""

import ctypes
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path

from tests.chaos.traps import install
from worker.commands import wiring
from worker.config import load_settings

PR_SET_PDEATHSIG = 1


def main(folder):
    install(folder)
    wiring.make_decoder(load_settings(None, []).settings)  # compiled here, inherited by all
    print(json.dumps({"ready": os.getpid()}), flush=True)
    while True:
        readable, _, _ = select.select([sys.stdin.buffer.raw], [], [], 0.05)
        if readable:
            line = read_line()
            if not line:
                return
            order = json.loads(line)
            print(json.dumps({"started": fork(order)}), flush=True)
        report_ended()


def read_line():
    """One line without buffering: what is buffered would hide from select."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line


def report_ended():
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return
    if pid:
        print(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}), flush=True)


def fork(order):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        become_worker(order)
    return pid


def become_worker(order):
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        from worker.__main__ import main as command  # noqa: PLC0415 - in the child, as in life

        command(order["arguments"])
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: BLE001 - a crash is an exit code here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
