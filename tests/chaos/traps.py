"""Places inside a worker where a test can end or freeze it: between every two steps of a batch.

A trap is a file named by the process: "POINT NTH SIGNAL". The process that passes POINT for the
NTH time after that sends itself the signal. Only the tests' launcher installs them.
"""

import os
from collections import Counter

import worker.kafka.producer
from worker.decode import Decoder
from worker.kafka.source import KafkaSource
from worker.loop import Loop
from worker.store import Store

POINTS = (
    "polled",
    "decoded",
    "merged",
    "scored",
    "claimed",
    "before_begin",
    "begun",
    "producing",
    "produced",
    "offsets_sent",
    "committed",
    "remembered",
)
"""In the order of a batch: each lies between two steps."""


class Traps:
    """Counts how often this process passed each point since the trap was set."""

    def __init__(self, folder):
        self._folder = folder
        self._passed = Counter()

    def __call__(self, point):
        file = self._folder / str(os.getpid())
        try:
            name, nth, number = file.read_text().split()
        except (FileNotFoundError, ValueError):
            return
        if name != point:
            return
        self._passed[point] += 1
        if self._passed[point] >= int(nth):
            file.unlink()
            self._passed.clear()
            os.kill(os.getpid(), int(number))


def arm(folder, pid, point, nth, number):
    """Set a trap for a process; a test calls this from outside."""
    file = folder / str(pid)
    draft = file.with_suffix(".draft")
    draft.write_text(f"{point} {nth} {int(number)}")
    draft.rename(file)


def install(folder):
    """Put the points into the classes of this process, before any worker is forked from it."""
    traps = Traps(folder)
    after(KafkaSource, "poll_batch", "polled", traps, when=len)
    after(KafkaSource, "read_ahead", "polled", traps, when=len)
    after(Decoder, "decode", "decoded", traps)
    after(Store, "merge", "merged", traps)
    after(Loop, "_scored", "scored", traps)
    after(Store, "claim", "claimed", traps)
    after(Store, "remember", "remembered", traps)

    class TrappedProducer(worker.kafka.producer.Producer):
        """The client's producer with a point before and behind every step."""

        def begin_transaction(self):
            traps("before_begin")
            super().begin_transaction()
            traps("begun")

        def produce(self, *args, **kwargs):
            super().produce(*args, **kwargs)
            traps("producing")

        def send_offsets_to_transaction(self, *args):
            traps("produced")
            super().send_offsets_to_transaction(*args)
            traps("offsets_sent")

        def commit_transaction(self, *args):
            super().commit_transaction(*args)
            traps("committed")

    worker.kafka.producer.Producer = TrappedProducer


def after(owner, name, point, traps, when=None):
    plain = getattr(owner, name)

    def trapped(*args, **kwargs):
        result = plain(*args, **kwargs)
        if when is None or when(result):
            traps(point)
        return result

    setattr(owner, name, trapped)
