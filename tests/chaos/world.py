"""Everything that a campaign runs: Kafka, Redis behind a proxy, traffic, supervised workers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import redis
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.chaos.proxy import Proxy
from tests.chaos.traffic import Traffic
from tests.chaos.traps import arm
from tests.e2e.harness import ROOT, create_topic
from tests.kafka_server import KafkaServer
from tests.redis_server import RedisServer

PARTITIONS = 4
OUT, GROUP, INPUT = "chaos.out", "chaos", "chaos.in"
SLOTS = ("0", "1")

SETTINGS = {
    "redis.prefix": "chaos:",
    "redis.timeout_s": "2",
    "source.topics": f'["{INPUT}"]',
    "source.survey": "simulated",
    "output.topic": OUT,
    "output.create_topics": "true",
    "output.partitions": "2",
    "worker.group": GROUP,
    "batch.max_records": "24",
    "batch.max_wait_s": "0.1",
    # Nothing here is faster than in production but the patience.
    "kafka.common.socket_timeout_ms": "6000",
    "kafka.common.reconnect_backoff_max_ms": "500",
    "kafka.consumer.session_timeout_ms": "6000",
    "kafka.consumer.heartbeat_interval_ms": "1000",
    "kafka.consumer.max_poll_interval_ms": "8000",
    "kafka.consumer.fetch_wait_max_ms": "50",
    "kafka.producer.message_timeout_ms": "8000",
    "kafka.producer.transaction_timeout_ms": "12000",
}


class Zygote:
    """The process that forks workers; its answers are read in a thread."""

    def __init__(self, folder):
        self.traps = folder / "traps"
        self.traps.mkdir()
        self._log = (folder / "zygote.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.zygote", str(self.traps)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            env={**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        )  # fmt: skip
        self._started, self._lock = threading.Semaphore(0), threading.Lock()
        self._pids, self.codes = [], {}
        threading.Thread(target=self._read, daemon=True).start()
        self._started.acquire()

    def spawn(self, arguments, log):
        """Start a worker; its process number."""
        order = json.dumps({"arguments": arguments, "log": str(log)}) + "\n"
        with self._lock:
            self._process.stdin.write(order.encode())
            self._process.stdin.flush()
            assert self._started.acquire(timeout=30), "the zygote does not answer"
            return self._pids.pop()

    def close(self):
        self._process.kill()
        self._process.wait(30)

    def _read(self):
        for line in self._process.stdout:
            answer = json.loads(line)
            if "ended" in answer:
                self.codes[answer["ended"]] = answer["code"]
                continue
            self._pids += [answer["started"]] if "started" in answer else []
            self._started.release()


class World:
    """Servers, traffic and one supervised worker per slot."""

    def __init__(self, folder, kafka_home, redis_binary, *, seed, objects, per_second):
        self.folder, self.seed = folder, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.kafka = KafkaServer(
            folder / "kafka", kafka_home, message_max_bytes=1_048_588,
            transaction_abort_timed_out_transaction_cleanup_interval_ms=500,
        )  # fmt: skip
        self.redis = RedisServer(folder / "redis", redis_binary, auto_aof_rewrite_percentage=0)
        self.kafka.start(240)
        self.redis.start()
        self.proxy = Proxy(self.redis.port)
        create_topic(self.kafka.bootstrap, INPUT, PARTITIONS, **{"max.message.bytes": "4000000"})
        self.traffic = Traffic(self.kafka.bootstrap, INPUT, seed, objects, per_second)
        self.zygote = Zygote(folder)
        self.exits = Counter()
        self.surprises = []
        self.restores = 0
        self._monitor = Consumer(
            {"bootstrap.servers": self.kafka.bootstrap, "group.id": GROUP, "log_level": 0}
        )
        self.supervisor = Supervisor(self)

    def admin(self):
        """A client for one question."""
        return AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})

    def committed(self):
        """Input records whose batch is committed; None while the broker doesn't say."""
        offsets = self.offsets()
        if offsets is None:
            return None
        count = sum(max(0, offset) for offset in offsets)
        self.traffic.settled = max(count, self.traffic.settled)
        return count

    def offsets(self):
        """The group's offset of each partition, below zero where it has none; None as above."""
        try:
            found = self._monitor.committed(
                [TopicPartition(INPUT, p) for p in range(PARTITIONS)], timeout=3
            )
        except KafkaException:
            return None
        return None if any(f.error for f in found) else [f.offset for f in found]

    def merged(self):
        """Input records that the state says it holds."""
        with redis.Redis.from_url(self.redis.url, decode_responses=True) as client:
            found = [client.hgetall(key) for key in client.scan_iter(f"chaos:mark:{GROUP}:*")]
        fields = [f"{INPUT}/{partition}" for partition in range(PARTITIONS)]
        return sum(min(int(marks.get(field, 0)) for marks in found) for field in fields)

    def arguments(self, slot, *extra):
        values = {
            **SETTINGS,
            "kafka.common.bootstrap_servers": self.kafka.bootstrap,
            "redis.url": f"redis://127.0.0.1:{self.proxy.port}/0",
            "worker.slot": slot,
        }
        return ["run", *(p for name, value in values.items() for p in ("--set", f"{name}={value}")),
                *extra]  # fmt: skip

    def spawn(self, slot, *extra):
        """A worker outside of supervision."""
        return self.zygote.spawn(self.arguments(slot, *extra), self.folder / f"worker-{slot}.log")

    def arm(self, pid, point, nth, number):
        arm(self.zygote.traps, pid, point, nth, number)

    def snapshot(self):
        """What Redis has on disk now: its append-only file, cut off wherever it is."""
        target = self.folder / "snapshot"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.redis.folder / "appendonlydir", target)

    def restore(self):
        """Redis comes back with the snapshot."""
        self.redis.kill()
        shutil.rmtree(self.redis.folder / "appendonlydir")
        shutil.copytree(self.folder / "snapshot", self.redis.folder / "appendonlydir")
        self.redis.start()
        self.restores += 1

    def close(self):
        self.supervisor.close()
        self.traffic.stop()
        self.zygote.close()
        self.proxy.close()
        self._monitor.close()
        self.redis.stop()
        self.kafka.stop()


class Supervisor(threading.Thread):
    """Starts a worker again when it ends, as an orchestrator does.

    Exit 78 is a person's business: the slot rests until a fault of the campaign deals with it.
    """

    def __init__(self, world):
        super().__init__(daemon=True)
        self._world = world
        self.pids, self.extra = {}, {}
        self.rested = {}
        self._resting, self._stopping = set(SLOTS), threading.Event()

    def start_slots(self, *extra, slots=SLOTS):
        """Let these slots run, with more arguments until they are told others."""
        for slot in slots:
            self.extra[slot] = extra
            self.rested.pop(slot, None)
            self._resting.discard(slot)

    def rest(self, number=signal.SIGTERM, slots=SLOTS):
        """End slots and leave them so; their exit codes."""
        self._resting |= set(slots)
        pids = {slot: self.pids.get(slot) for slot in slots}
        for pid in filter(None, pids.values()):
            os.kill(pid, number)
        wait(lambda: all(p is None or p in self._world.zygote.codes for p in pids.values()), 40,
             "the workers to end")  # fmt: skip
        return [self._world.zygote.codes[pid] for pid in pids.values() if pid is not None]

    def run(self):
        while not self._stopping.wait(0.05):
            for slot in SLOTS:
                self._look_after(slot)

    def close(self):
        self._stopping.set()
        if self.is_alive():
            self.join(40)
        for pid in self.pids.values():
            if pid is not None and pid not in self._world.zygote.codes:
                os.kill(pid, signal.SIGKILL)

    def _look_after(self, slot):
        pid, codes = self.pids.get(slot), self._world.zygote.codes
        if pid is not None and pid in codes:
            self.pids[slot], code = None, codes[pid]
            self._world.exits[code] += 1
            if code == 78:
                self.rested[slot] = code
                self._resting.add(slot)
            elif code not in {0, 69, 75, -signal.SIGKILL}:
                self._world.surprises.append(f"slot {slot} ended with {code}")
        if self.pids.get(slot) is None and slot not in self._resting:
            self.pids[slot] = self._world.spawn(slot, *self.extra.get(slot, ()))


def wait(condition, seconds, what):
    """Wait for a condition; AssertionError that says what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)
