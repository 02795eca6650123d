"""Runs real worker processes against a real Kafka and a real Redis."""

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import fastavro
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = Path(__file__).parents[2]


def create_topic(bootstrap, topic, partitions, **config):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    futures = admin.create_topics([NewTopic(topic, partitions, 1, config=config)])
    futures[topic].result(30)


def produce(bootstrap, topic, items):
    """`items`: (key, value) in the order to produce; one object stays in one partition."""
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for key, value in items:
        producer.produce(topic, value, key)
        producer.poll(0)
    assert producer.flush(60) == 0


def read_topic(bootstrap, topic):
    """Every committed record as (key, value, headers), partition by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    metadata = consumer.list_topics(topic, 30).topics[topic]
    waiting = set(metadata.partitions)
    consumer.assign([TopicPartition(topic, p, 0) for p in waiting])
    records = []
    deadline = time.monotonic() + 120
    while waiting:
        assert time.monotonic() < deadline, f"{topic} could not be read to its end"
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error() is None:
            records.append((message.key(), message.value(), dict(message.headers() or [])))
        elif message.error().name() == "_PARTITION_EOF":
            waiting.discard(message.partition())
        else:
            raise KafkaException(message.error())
    consumer.close()
    return records


def decoded(records):
    """The Avro values of records, with plain fastavro."""
    return [next(fastavro.reader(io.BytesIO(value))) for _, value, _ in records]


def settled(bootstrap, out):
    """Records in the books so far."""
    try:
        books = decoded(read_topic(bootstrap, f"{out}.ledger"))
    except KeyError:
        return 0
    return sum(p["records"] for book in books for p in book["partitions"])


def wait_until(condition, seconds, what, *running):
    """Wait for a condition while these workers run; AssertionError says what went wrong."""
    deadline = time.monotonic() + seconds
    while not condition():
        for worker in running:
            assert worker.process.poll() is None, f"the worker ended:\n{worker.tail()}"
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.3)


class Worker:
    """One `anomaly-worker run` process."""

    def __init__(self, log, arguments):
        self._log = log.open("ab")
        self.log = log
        self._begins_at = log.stat().st_size
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker", "run", *arguments],
            cwd=ROOT,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        )

    def signal(self, number):
        self.process.send_signal(number)

    def drain(self):
        """SIGTERM once it is ready, as an orchestrator does; returns the exit code."""
        wait_until(self._ready, 60, "the worker to be ready", self)
        started = time.monotonic()
        self.signal(signal.SIGTERM)
        code = self.process.wait(30)
        assert time.monotonic() - started < 25, "the drain took longer than 25 s"
        return code

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def _ready(self):
        return b"ready: model" in self.log.read_bytes()[self._begins_at :]

    def tail(self):
        return self.log.read_text(errors="replace")[-4000:]


@contextmanager
def workers(*many):
    """Make sure that no process outlives its test."""
    try:
        yield many
    finally:
        for worker in many:
            if worker.process.poll() is None:
                worker.kill()


def run_arguments(bootstrap, redis_url, *, topic, out, group, slot="0", **settings):
    values = {
        "kafka.common.bootstrap.servers": bootstrap,
        "redis.url": redis_url,
        "redis.prefix": f"{group}:",
        "source.topics": f'["{topic}"]',
        "output.topic": out,
        "output.create_topics": "true",
        "output.partitions": "4",
        "worker.group": group,
        "worker.slot": slot,
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    return [part for name, value in values.items() for part in ("--set", f"{name}={value}")]


def command(*arguments):
    """Run one command of the worker to its end; (exit code, stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
