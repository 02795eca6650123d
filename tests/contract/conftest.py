"""Fixtures of the contract tests; each module may bring a `broker` of its own."""

import pytest

from tests.contract.brokers import Broker, numbers


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
