"""A stream of simulated packets into Kafka, with everything that can come in a stream."""

import io
import json
import os
import random
import threading
import time

import fastavro
from confluent_kafka import Producer

from models.night import plan_night
from tests.oracle import read_packet
from worker.simulate import simulate_packets

BIG_BYTES = int(1.9 * 1024 * 1024)
BACKLOG = 300
"""Records that may wait for their commit: more would only spend the night faster."""

EXPECT = "expected_reason"
"""Header of a hostile record: how its dead letter must call it."""


class Traffic(threading.Thread):
    """Sends packets at a rate until stopped; faults change what comes next."""

    def __init__(self, bootstrap, topic, seed, objects, per_second, backlog=BACKLOG):
        super().__init__(daemon=True)
        plan = plan_night(seed, objects)
        night = simulate_packets(seed, plan.objects, plan.planted)
        self._values = [*night.history, *night.packets]
        self._random, self._backlog = random.Random(seed), backlog
        self._topic, self._pause_s = topic, 1 / per_second
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "message.max.bytes": 4_000_000,
                "message.timeout.ms": 0,
            }
        )
        self._extra, self._schemas, self._rewrites = [], 0, 0
        self._hostile_left = self._hostile_every = 0
        self._held = None
        self._swap = False
        self._stopping = threading.Event()
        self.unordered = set()
        self.sent = self.settled = 0

    def __len__(self):
        return len(self._values)

    def hostile(self, packets, every):
        """One record that can't be read in front of each `every`th of the next packets."""
        self._hostile_left, self._hostile_every = packets, every

    def hostile_now(self, count, partition):
        """The same into one partition, at once."""
        for _ in range(count):
            self._send(*self._hostile(), partition=partition)

    def big(self):
        """A record that even its dead letter is too large for."""
        self._extra.append((None, os.urandom(BIG_BYTES), [(EXPECT, b"not_avro")]))

    def change_schema(self, packets):
        """The next packets are written with a schema that nobody has seen."""
        self._schemas += 1
        self._rewrites = packets

    def swap(self):
        """The next packet waits until its object's next one has gone."""
        self._swap = True

    def packets(self):
        """(objectId, value) of every packet that can be read."""
        read = ((read_packet(value), value) for value in self._values)
        return [(packet["objectId"].encode(), value) for packet, value in read if packet]

    def send_all(self, packets, hostile_every=0):
        """Packets at once, a hostile record in front of each `hostile_every`th."""
        for number, (key, value) in enumerate(packets):
            if hostile_every and number % hostile_every == 0:
                self._send(*self._hostile())
            self._send(key, value)
        assert self._producer.flush(60) == 0

    def run(self):
        for value in self._values:
            if self._stopping.wait(self._pause_s):
                break
            while self.sent - self.settled > self._backlog and not self._stopping.wait(0.1):
                pass
            self._next(value)
        if self._held is not None:
            self._send(*self._held)

    def stop(self):
        """End the stream and wait until all of it has arrived."""
        self._stopping.set()
        if self.is_alive():
            self.join(60)
        assert self._producer.flush(60) == 0

    def _next(self, value):
        while self._extra:
            self._send(*self._extra.pop(0))
        if self._hostile_left:
            self._hostile_left -= 1
            if self._hostile_left % self._hostile_every == 0:
                self._send(*self._hostile())
        packet = read_packet(value)
        key = None if packet is None else packet["objectId"].encode()
        if packet is not None and self._rewrites:
            self._rewrites -= 1
            value = self._rewritten(value)
        if self._held is not None and key == self._held[0]:
            self._send(key, value)
            self._send(*self._held)
            self._held = None
        elif self._swap and key is not None:
            self._swap, self._held = False, (key, value)
            self.unordered.add(key.decode())
        else:
            self._send(key, value)

    def _send(self, key, value, headers=(), partition=-1):
        self._producer.produce(
            self._topic, value, key, partition=partition, headers=list(headers),
            timestamp=int(time.time() * 1000),
        )  # fmt: skip
        self._producer.poll(0)
        self.sent += 1

    def _rewritten(self, value):
        schema, (record,) = parts(value)
        name = f"chaos_{self._schemas}"
        schema["fields"].insert(self._schemas % 4, {"name": name, "type": ["null", "string"]})
        schema["doc"] = f"version {self._schemas}"
        return written(schema, [{**record, name: "x" * self._schemas}])

    def _hostile(self):
        value = self._random.choice(self._values[:50])
        schema, records = parts(value)
        bad = self._random.choice(
            [
                (b"", b"not_avro"),
                (self._random.randbytes(3000), b"not_avro"),
                (value[: len(value) // 2], b"truncated"),
                (value[:-16] + bytes(16), b"malformed"),
                (written(schema, records * 2), b"multi_record"),
                (written(schema, [spoiled(records[0])]), b"invalid_value"),
            ]
        )
        return (None, bad[0], [(EXPECT, bad[1])])


def parts(value):
    reader = fastavro.reader(io.BytesIO(value))
    return json.loads(reader.metadata["avro.schema"]), list(reader)


def written(schema, records):
    out = io.BytesIO()
    fastavro.writer(out, schema, records)
    return out.getvalue()


def spoiled(record):
    return {**record, "candidate": {**record["candidate"], "jd": float("nan")}}
