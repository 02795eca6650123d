"""The parent of several workers, over small programs in their place."""

import subprocess
import sys
import threading

import pytest

from worker.commands import crew
from worker.config import load_settings

OBEDIENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def parent(monkeypatch):
    """Runs a crew of these programs; the stop event is the test's."""
    stop = threading.Event()
    monkeypatch.setattr(crew, "stop_on_signals", lambda _: stop)

    def run(*programs):
        def start(_settings, _config, _assignments, number, _count):
            child = subprocess.Popen(
                [sys.executable, "-c", programs[number]], stdout=subprocess.PIPE
            )
            if programs[number].startswith(OBEDIENT[:15]):
                assert child.stdout.readline() == b"up\n"
            return child

        monkeypatch.setattr(crew, "_start", start)
        return crew.run_crew(load_settings().settings, None, [], len(programs))

    run.stop = stop
    return run


def test_a_stop_is_passed_on(parent):
    parent.stop.set()
    assert parent(OBEDIENT, OBEDIENT) == 0


def test_one_that_fails_ends_all_with_its_code(parent):
    assert parent(OBEDIENT, "raise SystemExit(75)", OBEDIENT) == 75


def test_the_worst_code_wins(parent):
    assert parent("raise SystemExit(75)", OBEDIENT.replace("exit(0)", "exit(78)")) == 78


def test_one_that_had_not_begun_is_drained(parent):
    parent.stop.set()
    assert parent("import time; time.sleep(60)", OBEDIENT) == 0


def test_a_signal_counts_as_the_shell_counts_it(parent):
    assert parent("import os; os.kill(os.getpid(), 9)", OBEDIENT) == 137


def test_each_worker_has_a_slot_a_port_and_its_share_of_the_cores(monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, env: started.append((command, env)))
    monkeypatch.setattr(crew.os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    settings = load_settings(None, ["worker.slot=3", "worker.metrics_port=9000"]).settings
    for number in range(2):
        crew._start(settings, None, ["output.topic=x"], number, 2)
    (command, environment), (second, _) = started
    assert 'worker.slot="3.0"' in command
    assert "worker.metrics_port=9000" in command
    assert "output.topic=x" in command
    assert 'worker.slot="3.1"' in second
    assert "worker.metrics_port=9001" in second
    assert environment["OMP_NUM_THREADS"] == "4"
