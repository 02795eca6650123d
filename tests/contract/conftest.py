"""Fixtures of the contract tests; each module may bring a `broker` of its own."""

import pytest
import redis

from tests.contract.brokers import Broker, numbers
from tests.contract.outputs import Output
from worker.kafka import MockCluster
from worker.store import Store


@pytest.fixture
def broker(kafka_bootstrap):
    return Broker(kafka_bootstrap)


@pytest.fixture
def opened(broker, unique):
    """Makes sources of one group and closes them at the end."""
    sources = []

    def make(*topics, **settings):
        source = broker.source(*topics, **{"group": unique, **settings})
        sources.append(source)
        return source

    yield make
    for source in sources:
        source.close()


@pytest.fixture
def stream(broker):
    """A topic of one partition with ten records."""
    topic = broker.topic(partitions=1)
    broker.produce(topic, numbers(10), partition=0)
    return topic


@pytest.fixture
def client(redis_url):
    """Redis itself, to look at what the state holds."""
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def stores(redis_url, unique):
    """Makes stores on one prefix and closes them at the end."""
    made = []

    def make(**changes):
        made.append(Store.connect(redis_url, **{"prefix": f"{unique}:", "group": "g", **changes}))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(stores):
    return stores()


@pytest.fixture(scope="module")
def mock_broker():
    with MockCluster() as cluster:
        yield Broker(cluster.bootstrap, cluster)


@pytest.fixture
def output(mock_broker, unique):
    return Output(mock_broker, unique)


@pytest.fixture
def real_output(broker, unique):
    return Output(broker, unique)
