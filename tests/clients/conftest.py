"""Alerts of a simulated night on a real Kafka, as every peer's client can reach it."""

import importlib
import io
import os
from dataclasses import dataclass

import fastavro
import pytest
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.conftest import NIGHT_OUT, published
from tests.kafka_server import KafkaServer, kafka_home
from tests.processes import free_ports
from worker.encode import read_container
from worker.kafka import create_topics, produce_all
from worker.topics import TopicSpec
from worker.types.records import Message

USER, PASSWORD = "babamul-reader", "a-test's-password"
TOPIC = "babamul.ztf.anomaly"
SEEDS = range(1, 20)
"""Of nights; in one of them an object becomes stranger and is emitted again, whatever the model."""


@dataclass(frozen=True)
class Wire:
    """Where the alerts are: `bootstrap` takes anybody, `sasl_bootstrap` USER with PASSWORD."""

    bootstrap: str
    sasl_bootstrap: str
    topic: str
    messages: list

    @property
    def alerts(self):
        """What was sent, by candid."""
        return by_candid(next(fastavro.reader(io.BytesIO(m.value))) for m in self.messages)

    def add_topic(self, name, messages):
        """A topic of one partition with these messages in it."""
        config = {"bootstrap.servers": self.bootstrap}
        create_topics(config, [TopicSpec(name, 1, 1, {})])
        produce_all(config, [Message(name, m.key, m.value, m.headers) for m in messages])
        return name


def by_candid(alerts):
    return {alert["candid"]: alert for alert in alerts}


def client(name):
    """A peer's client; without it the test is skipped, or fails where all is required."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if os.environ.get("CI_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{error.name} is required here: install the extra `clients`")
        pytest.skip(f"{error.name} is not installed: it comes with the extra `clients`")


class SaslKafka(KafkaServer):
    """A Kafka with one more listener, which asks for SCRAM-SHA-512 as the public brokers do."""

    def __init__(self, folder, home):
        (port,) = free_ports(1)
        self.sasl_bootstrap = f"127.0.0.1:{port}"
        protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CLIENT:SASL_PLAINTEXT"
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        super().__init__(
            folder,
            home,
            **{
                "listener.security.protocol.map": protocols,
                "listener.name.client.sasl.enabled.mechanisms": "SCRAM-SHA-512",
                "listener.name.client.scram-sha-512.sasl.jaas.config": login,
            },
        )
        text = self._config.read_text()
        for name in ("listeners", "advertised.listeners"):
            line = next(x for x in text.splitlines() if x.startswith(f"{name}="))
            text = text.replace(line, f"{line},CLIENT://{self.sasl_bootstrap}")
        self._config.write_text(text)

    def add_user(self):
        secret = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(USER, secret, PASSWORD.encode())
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.alter_user_scram_credentials([change])[USER].result(30)


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    """On import babamul would ask the package index for its newest version."""
    monkeypatch.setenv("BABAMUL_NO_VERSION_CHECK", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def _night_with_a_repeat(tmp_path_factory):
    for seed in SEEDS:
        night = published(tmp_path_factory.mktemp("night"), seed)
        alerts = [m for m in night if m.topic == NIGHT_OUT]
        if len(alerts) > 3 and any(read_container(m.value)["anomaly"]["emissions"] for m in alerts):
            return alerts
    raise AssertionError("no night in which an object is emitted again")


@pytest.fixture(scope="session")
def wire(tmp_path_factory, request):
    home = kafka_home()
    if home is None:
        request.getfixturevalue("kafka_bootstrap")  # skips, or fails where it is required
        pytest.skip("a Kafka of our own is needed: KAFKA_HOME")
    server = SaslKafka(tmp_path_factory.mktemp("sasl"), home)
    try:
        server.start()
        server.add_user()
        alerts = _night_with_a_repeat(tmp_path_factory)
        found = Wire(server.bootstrap, server.sasl_bootstrap, TOPIC, alerts)
        found.add_topic(TOPIC, alerts)
        yield found
    finally:
        server.stop()
