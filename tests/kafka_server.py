"""A real Apache Kafka for tests: one node (KRaft) on loopback, data in a folder of its own."""

import base64
import os
import shutil
import subprocess
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.processes import Server, free_ports

ROOT = Path(__file__).parents[1]

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    # one node: nothing to replicate to
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # quick rebalances: tests must not wait for production's grace periods
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "group.consumer.min.session.timeout.ms": 1000,
    "group.consumer.min.heartbeat.interval.ms": 100,
    "group.consumer.heartbeat.interval.ms": 500,
    # a killed broker may come back as soon as its session is over
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "log.segment.bytes": 64 * 1024 * 1024,
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
}


def kafka_home():
    """The distribution to run, None where there is none (or no Java to run it)."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        return None
    named = os.environ.get("KAFKA_HOME")
    home = Path(named) if named else ROOT.parent / "shared" / "kafka"
    return home if (home / "bin" / "kafka-server-start.sh").exists() else None


class KafkaServer(Server):
    """One broker; `bootstrap` stays the same over restarts."""

    def __init__(self, folder, home, **properties):
        super().__init__(folder)
        self._home = home
        port, controller_port = free_ports(2)
        self.bootstrap = f"127.0.0.1:{port}"
        listener, controller = (f"127.0.0.1:{number}" for number in (port, controller_port))
        values = {
            **PROPERTIES,
            "listeners": f"PLAINTEXT://{listener},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{listener}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": folder / "data",
            **{name.replace("_", "."): value for name, value in properties.items()},
        }
        self._config = folder / "node.properties"
        self._config.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        self._format()

    def command(self):
        return [self._script("kafka-server-start.sh"), self._config], self._environment()

    def answers(self):
        try:
            AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0}).list_topics(
                timeout=2
            )
        except KafkaException:
            return False
        return True

    def _format(self):
        cluster = (
            base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        )
        subprocess.run(
            [
                self._script("kafka-storage.sh"),
                "format",
                "-t",
                cluster,
                "-c",
                self._config,
                *self.storage_options(),
            ],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=240,
            check=True,
        )

    def storage_options(self):
        """More options of the format, e.g. users."""
        return []

    def _script(self, name):
        return str(self._home / "bin" / name)

    def _environment(self):
        # The distribution may be read-only: its logs go beside the data.
        return {
            **os.environ,
            "LOG_DIR": str(self.folder / "logs"),
            "KAFKA_HEAP_OPTS": os.environ.get("KAFKA_HEAP_OPTS", "-Xms256m -Xmx768m"),
        }
