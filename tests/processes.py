"""Child processes for tests: free ports, and an end with the test run, however it ends."""

import itertools
import os
import socket
import subprocess
import sys
import time

DIE_WITH_PARENT = """
import ctypes, os, sys
if sys.platform == "linux":
    PR_SET_PDEATHSIG, SIGKILL = 1, 9
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Becomes the program that it is given; the kernel kills it when the test process goes."""


PORTS = range(15_000, 32_000)
"""Below what systems give to clients (from 32768): no connection takes one before its server."""

_next_ports = itertools.cycle(PORTS)
next(itertools.islice(_next_ports, os.getpid() % len(PORTS), None))


def free_ports(count):
    """Loopback ports in a row that nobody listens on, none given twice by a test run."""
    ports = []
    while len(ports) < count:
        port = next(_next_ports)
        if not _is_free(port) or (ports and port != ports[-1] + 1):
            ports = []
            continue
        ports.append(port)
    return ports


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until(condition, seconds, what):
    """Wait for a condition; AssertionError that says what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


class Server:
    """A server process that can be stopped, killed, frozen and started again on its data."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.process = None

    def command(self):
        """Arguments and extra environment of the process."""
        raise NotImplementedError  # each kind of server has its own

    def answers(self):
        """Whether the server takes requests."""
        raise NotImplementedError  # each kind of server has its own

    def start(self, seconds=60):
        arguments, environment = self.command()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DIE_WITH_PARENT, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._ready, seconds, f"{arguments[0]} to answer (log in {self.folder})")
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL: what it had not written is lost."""
        self.process.kill()
        self.process.wait(30)

    def stop(self):
        """SIGTERM, then SIGKILL for one that doesn't listen."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self):
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    def _ready(self):
        assert self.process.poll() is None, f"the server ended:\n{self.tail()}"
        return self.answers()
