"""The state behind sentinels: the master that they name, and what a failover leaves."""

import pytest

from tests.contract.states import P0, merge
from tests.contract.test_redis_cluster import contents, patiently, random_batches, same, worked
from tests.packets import packet, point
from tests.processes import free_ports
from tests.redis_cluster import Sentinels, cut_off, in_step
from tests.redis_cluster import client as connected_to
from worker.connect import Address
from worker.errors import ConfigError, RestartRequiredError, TransientError
from worker.store import Store


@pytest.fixture
def watched(redis_program, tmp_path):
    servers = Sentinels(tmp_path, redis_program)
    try:
        yield servers.start()
    finally:
        servers.stop()


def address(watched, **changes):
    given = {
        "sentinels": watched.addresses,
        "service_name": watched.service,
        "sentinel_login": True,
        "timeout_s": 2,
        **changes,
    }
    return Address(watched.url, "sentinel", **given)


def connected(watched):
    return Store.connect(address(watched), prefix="s:", group="g")


def test_a_master_that_is_killed_is_replaced(watched, stores, client, unique):
    here, there = connected(watched), stores()
    for number, (packets, offsets) in enumerate(random_batches(3)):
        if number == 5:
            in_step(watched.first)
            watched.first.kill()
        same(worked(here, packets, offsets), worked(there, packets, offsets))
    watched.wait_for_failover()
    assert copied(watched.second, "s:") == contents(
        {k.removeprefix(f"{unique}:".encode()): client.dump(k) for k in client.keys(f"{unique}:*")}
    )


def copied(server, prefix):
    with connected_to(server) as connection:
        keys = connection.keys(f"{prefix}*")
        return contents({k.removeprefix(prefix.encode()): connection.dump(k) for k in keys})


def test_a_failover_that_lost_its_tail_is_noticed_and_rebuilt(watched):
    store = connected(watched)
    merge(store, packet("A", point(1, 10.0)), p0=5)
    in_step(watched.first)
    cut_off(watched.second, watched.first)
    merge(store, packet("A", point(2, 11.0)), p0=8)
    watched.first.kill()
    watched.wait_for_failover()
    with pytest.raises(RestartRequiredError, match=r"mark of in/0 is 5, 8 was written"):
        patiently(lambda: merge(store, packet("A", point(3, 12.0)), p0=10))
    after = connected(watched)
    assert after.marks([P0]) == {P0: 5}
    merge(after, packet("A", point(2, 11.0)), p0=8)
    curves = merge(after, packet("A", point(3, 12.0)), p0=10)
    assert curves.points["candid"].tolist() == [1, 2, 3]


def test_addresses_that_can_not_work(watched):
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    for changes in ({"sentinels": [nowhere]}, {"service_name": "other"}):
        with pytest.raises(TransientError, match="redis connect"):
            Store.connect(address(watched, **changes), prefix="s:", group="g")
    with pytest.raises(ConfigError, match="names none"):
        Store.connect(address(watched, sentinels=[]), prefix="s:", group="g")
    with pytest.raises(ConfigError, match="redis:// or rediss://"):
        Store.connect(Address("unix:///there", "sentinel"), prefix="s:", group="g")
