"""A short seeded campaign: every kind of fault once, a kill at every second step of a batch."""

import pytest

from tests.chaos.campaign import run_campaign
from tests.chaos.faults import KINDS, schedule
from tests.chaos.traps import POINTS
from tests.kafka_server import kafka_home
from tests.redis_server import redis_binary

SEED = 7


@pytest.fixture
def servers(request):
    """Servers of its own: this test kills them."""
    found = kafka_home(), redis_binary()
    if None in found:
        request.getfixturevalue("kafka_bootstrap")
        pytest.skip("no Kafka or no Redis that may be killed")
    return found


def test_nothing_is_lost_doubled_or_wrong(servers, tmp_path):
    order = schedule(SEED, kinds=1, kills=6, points=POINTS[1::2])
    outcome = run_campaign(tmp_path, *servers, SEED, order, objects=800, per_second=30)
    print(outcome)
    assert outcome.clean, str(outcome)
    assert set(outcome.injected) == {*KINDS, "kill_between_steps"}
    assert outcome.verdict.scored > 500
