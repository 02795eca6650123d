"""The faults of a campaign: each is done to a running world and waits until it has passed."""

import os
import random
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

from confluent_kafka import KafkaException

from tests.chaos.traps import POINTS
from tests.chaos.world import GROUP, PARTITIONS, SLOTS, wait

PATIENCE_S = 180

FROZEN_S = 10
"""Longer than the worker may go without a poll."""


class Faults:
    """Each public method of `KINDS` is one injection; it fails when the world doesn't recover."""

    def __init__(self, world, seed):
        self._world, self._random = world, random.Random(seed)

    def kill_between_steps(self, point):
        """SIGKILL at a point of a batch."""
        slot, pid = self._running()
        nth = self._random.randint(1, 8) if point == "producing" else self._random.randint(1, 3)
        self._world.arm(pid, point, nth, signal.SIGKILL)
        wait(lambda: pid in self._world.zygote.codes, PATIENCE_S, f"slot {slot} to die at {point}")
        self._progress()

    def kill_anywhere(self):
        """SIGKILL at a random instant."""
        time.sleep(self._random.uniform(0.1, 1.0))
        os.kill(self._running()[1], signal.SIGKILL)
        self._progress()

    def freeze(self):
        """SIGSTOP for longer than the poll interval; others take over; SIGCONT."""
        _, pid = self._running()
        os.kill(pid, signal.SIGSTOP)
        time.sleep(FROZEN_S)
        os.kill(pid, signal.SIGCONT)
        self._progress()

    def join_and_leave(self):
        """A third worker comes and goes."""
        log = self._world.folder / "worker-2.log"
        before = times_ready(log)
        pid = self._world.spawn("2")
        wait(lambda: times_ready(log) > before, PATIENCE_S, "the third worker to be ready")
        self._progress()
        os.kill(pid, signal.SIGTERM)
        wait(lambda: pid in self._world.zygote.codes, PATIENCE_S, "the third worker to leave")
        self._expect(self._world.zygote.codes[pid] in {0, 75}, "the third worker's exit code")
        self._progress()

    def redis_kill(self):
        """Redis is killed and comes back from its append-only file."""
        self._world.redis.kill()
        time.sleep(self._random.uniform(0.2, 3))
        self._world.redis.start()
        self._progress()

    def redis_old_snapshot(self):
        """Redis comes back as it was a while ago."""
        self._world.snapshot()
        self._progress(60)
        self._world.restore()
        self._progress(20)

    def redis_slow(self):
        """Every answer of Redis takes a fraction of a second."""
        self._world.proxy.slow(self._random.uniform(0.1, 0.6))
        time.sleep(5)
        self._world.proxy.heal()
        self._progress()

    def redis_cut_off(self):
        """No way to Redis for a while."""
        self._world.proxy.cut()
        time.sleep(self._random.uniform(2, 5))
        self._world.proxy.heal()
        self._progress()

    def broker_restart(self):
        """The broker is killed and comes back."""
        self._world.kafka.kill()
        time.sleep(self._random.uniform(0, 3))
        self._world.kafka.start(240)
        self._progress()

    def zombie_producer(self):
        """A worker is frozen in its commit, replaced, and wakes up."""
        point = self._random.choice(["begun", "producing", "produced", "offsets_sent"])
        slot, pid = self._frozen_at(point)
        successor = self._world.spawn(slot)
        self._progress(40)
        os.kill(pid, signal.SIGCONT)
        wait(lambda: pid in self._world.zygote.codes, PATIENCE_S, "the zombie to end")
        self._expect(self._world.zygote.codes[pid] == 75, "a zombie's exit code")
        self._end(successor)
        self._progress()

    def two_on_one_slot(self):
        """A second process is started with a slot that is taken."""
        slot, pid = self._running()
        second = self._world.spawn(slot)
        codes = self._world.zygote.codes
        wait(lambda: pid in codes or second in codes, PATIENCE_S, "one of two to give way")
        self._expect({codes.get(pid), codes.get(second)} & {75}, "the exit code of who gave way")
        self._end(second)
        self._progress()

    def offsets_expired(self):
        """The broker forgets the group while its topic is still read."""
        world = self._world
        self._drain()
        wait(self._forgotten, PATIENCE_S, "the group to be forgotten")
        world.supervisor.start_slots()
        wait(lambda: set(SLOTS) <= world.supervisor.rested.keys(), PATIENCE_S, "exit 78")
        for slot in SLOTS:
            self._expect(re.search(r"--start-at", self._last_line(slot)), "the way out in the log")
        world.supervisor.start_slots("--start-at", "stored")
        # Until every partition has an offset again, a restart without the option stops.
        wait(lambda: min(world.offsets() or [-1]) >= 0, PATIENCE_S, "an offset of each partition")
        self._progress()
        world.supervisor.start_slots()

    def dead_letter_stop(self):
        """More dead letters than tolerated; the stop is met again, then let through."""
        world = self._world
        world.traffic.hostile_now(70, self._random.randrange(PARTITIONS))
        rested = world.supervisor.rested
        wait(lambda: rested, PATIENCE_S, "exit 78")
        slot = next(iter(rested))
        self._expect("max_share" in self._last_line(slot), "the reason of the stop in the log")
        world.supervisor.start_slots(slots=[slot])
        wait(lambda: set(SLOTS) <= rested.keys(), PATIENCE_S, "exit 78 again, from both")
        world.supervisor.start_slots("--set", "dead_letters.max_share=1")
        self._progress(120)
        world.supervisor.start_slots()

    def schema_change(self):
        """The stream goes on with a schema that nobody has seen."""
        self._world.traffic.change_schema(25)
        self._progress(60)

    def hostile_one_percent(self):
        """One record in a hundred can't be read."""
        self._world.traffic.hostile(300, every=100)
        self._progress(60)

    def big_record(self):
        """1.9 MiB that end as a dead letter on a topic that takes 1 MB."""
        self._world.traffic.big()
        self._progress(40)

    def out_of_order(self):
        """A packet comes behind its object's next one."""
        self._world.traffic.swap()
        self._progress(40)

    def _progress(self, records=15):
        """Wait until more input is committed; whatever happened is then over."""
        seen = []

        def enough():
            count = self._world.committed()
            if count is not None:
                seen.append(count)
            return len(seen) > 1 and seen[-1] >= seen[0] + records

        wait(enough, PATIENCE_S, f"{records} records to be committed")

    def _drain(self):
        """End all workers with nothing merged that isn't committed: `stored` begins behind it."""
        world = self._world
        for _ in range(5):
            self._expect(set(world.supervisor.rest()) <= {0, 75}, "the exit code of a drain")
            if world.committed() == world.merged():
                return
            world.supervisor.start_slots()
            self._progress()
        raise AssertionError("no drain without an aborted batch")

    def _running(self):
        """A slot and the process in it."""
        pids, codes = self._world.supervisor.pids, self._world.zygote.codes

        def living():
            return [(s, p) for s, p in list(pids.items()) if p is not None and p not in codes]

        wait(lambda: len(living()) == len(SLOTS), PATIENCE_S, "every slot to run")
        return self._random.choice(sorted(living()))

    def _frozen_at(self, point):
        """A slot and its process, frozen; one that asks for its restart on the way is let go."""
        for _ in range(5):
            slot, pid = self._running()
            self._world.arm(pid, point, 1, signal.SIGSTOP)
            wait(lambda pid=pid: _state(pid) in {"T", None}, PATIENCE_S, f"{slot} at {point}")
            if _state(pid) == "T":
                return slot, pid
        raise AssertionError(f"no worker lived to freeze at {point}")

    def _end(self, pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _forgotten(self):
        admin = self._world.admin()  # its answers end with it
        try:
            admin.delete_consumer_groups([GROUP])[GROUP].result(10)
        except KafkaException:
            time.sleep(0.5)
            return False
        return True

    def _last_line(self, slot):
        lines = (self._world.folder / f"worker-{slot}.log").read_text(errors="replace")
        return next(line for line in reversed(lines.splitlines()) if "anomaly-worker:" in line)

    def _expect(self, condition, what):
        if not condition:
            self._world.surprises.append(f"{what} was not as promised")


KINDS = (
    "kill_anywhere", "freeze", "join_and_leave", "redis_kill", "redis_old_snapshot",
    "redis_slow", "redis_cut_off", "broker_restart", "zombie_producer", "two_on_one_slot",
    "offsets_expired", "dead_letter_stop", "schema_change", "hostile_one_percent",
    "big_record", "out_of_order",
)  # fmt: skip


def schedule(seed, kinds, kills, points=POINTS):
    """(kind, arguments) in a random order: every kind `kinds` times, `kills` at points."""
    order = [(kind, ()) for kind in KINDS for _ in range(kinds)]
    order += [("kill_between_steps", (points[n % len(points)],)) for n in range(kills)]
    random.Random(seed).shuffle(order)
    return order


def _state(pid):
    """The letter by which the kernel tells a process' state; None when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    return stat.rpartition(")")[2].split()[0]


def times_ready(log):
    """How often workers that wrote this log began to work."""
    return log.read_bytes().count(b"ready: model") if log.exists() else 0
