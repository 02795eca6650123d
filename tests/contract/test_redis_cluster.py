"""The state on a Redis Cluster: the same results as one server, and what a failover leaves."""

import json

import numpy as np
import pytest
import redis
from redis.cluster import key_slot

from tests.contract.states import P0, P1, merge
from tests.deploy.secured import Certificates, SecuredRedis
from tests.packets import packet, point
from tests.processes import free_ports, wait_until
from tests.redis_cluster import RedisCluster, client, cut_off, in_step
from worker.commands.check import check
from worker.commands.doctor_redis import findings_of
from worker.connect import Address
from worker.errors import ConfigError, RestartRequiredError, TransientError
from worker.marks import SLOTS
from worker.read_only import ReadOnlyStore
from worker.redis_facts import servers
from worker.store import Store

PARTITIONS = (P0, P1)


@pytest.fixture(scope="module")
def cluster(redis_program, tmp_path_factory):
    servers = RedisCluster(tmp_path_factory.mktemp("cluster"), redis_program)
    try:
        yield servers.start()
    finally:
        servers.stop()


@pytest.fixture
def clustered(cluster, unique):
    """Makes stores on the cluster, on one prefix."""
    made = []

    def make(kind=Store):
        address = Address(cluster.url, "cluster", cluster.addresses, timeout_s=2)
        made.append(kind.connect(address, prefix=f"{unique}:", group="g"))
        return made[-1]

    yield make
    for store in made:
        store.close()


def patiently(call, seconds=30):
    """As the run loop does it: the same call again until Redis is back."""
    answers = []

    def answered():
        try:
            answers.append(call())
        except TransientError:
            return False
        return True

    wait_until(answered, seconds, "Redis to be back")
    return answers[0]


def random_batches(seed, count=12, rows=40):
    """Packets of a few dozen objects, some repeated, some late; the offset after each batch."""
    rng = np.random.default_rng(seed)
    candid = 0
    for batch in range(count):
        packets = []
        for _ in range(rows):
            candid += 1
            jd = 2460000.0 + float(rng.integers(0, 400)) / 4
            history = [
                point(
                    10_000 + int(rng.integers(0, 4000)), jd - float(k), band=int(rng.integers(1, 4))
                )
                for k in range(1, int(rng.integers(1, 6)))
            ]
            packets.append(packet(f"ZTF{rng.integers(0, 60)}", point(candid, jd), history))
        yield packets, {"p0": rows * (batch + 1), "p1": 7 * batch}


def worked(store, packets, offsets):
    """One batch as the loop has it: merge, claim, remember."""
    curves = patiently(lambda: merge(store, *packets, **offsets))
    names = [name for name, _, _ in packets]
    candids = np.array([own["candid"] for _, own, _ in packets])
    positions = [(PARTITIONS[c % 2], int(c) // 2) for c in candids]
    claims = patiently(lambda: store.claim(names, candids, positions))
    jds, ps = np.array([own["jd"] for _, own, _ in packets]), 1 / (1.0 + candids)
    patiently(lambda: store.remember(names, candids, jds, ps))
    return curves, claims


def same(one, other):
    for curves, expected in ((one[0], other[0]),):
        assert curves.points.tobytes() == expected.points.tobytes()
        assert curves.offsets.tolist() == expected.offsets.tolist()
        assert curves.band.tolist() == expected.band.tolist()
    assert one[1].first.tolist() == other[1].first.tolist()
    assert [list(e) for e in one[1].emissions] == [list(e) for e in other[1].emissions]


def contents(found):
    """Curves, claims and marks by key; of emissions, whose bytes tell their history, the key."""
    return {key: b"" if b":emit:" in key else value for key, value in found.items()}


def test_the_same_results_as_one_server(clustered, cluster, stores, client, unique):
    here, there = clustered(), stores()
    for packets, offsets in random_batches(1):
        got, expected = worked(here, packets, offsets), worked(there, packets, offsets)
        same(got, expected)
        assert got[0].late.tolist() == expected[0].late.tolist()
    single = {key: client.dump(key) for key in client.keys(f"{unique}:*")}
    assert contents(cluster.keys(f"{unique}:*")) == contents(single)
    assert here.marks(PARTITIONS) == there.marks(PARTITIONS) == {P0: 480, P1: 77}
    reader = clustered(ReadOnlyStore)
    assert len(merge(reader, *packets).points) == len(merge(there, *packets).points)
    assert len(cluster.masters()) == 3


def test_a_master_that_is_killed_is_replaced(clustered, cluster, stores, client, unique):
    here, there = clustered(), stores()
    bystander = clustered()
    assert bystander.marks([P0]) == {P0: None}
    killed = cluster.master_of(f"{unique}:lc:{{ZTF7}}:1")
    replica = cluster.replica_of(killed)
    for number, (packets, offsets) in enumerate(random_batches(2)):
        if number == 5:
            in_step(killed)
            killed.kill()
        same(worked(here, packets, offsets), worked(there, packets, offsets))
    single = {key: client.dump(key) for key in client.keys(f"{unique}:*")}
    cluster.wait_for_failover(replica)
    assert contents(cluster.keys(f"{unique}:*")) == contents(single)
    killed.start()
    wait_until(cluster.settled, 30, "the old master to be a replica")
    # Who was connected before still asks the old master first, and is sent on.
    same(worked(bystander, packets, offsets), worked(there, packets, offsets))
    assert bystander.marks([P0]) == {P0: 480}


def test_a_failover_that_lost_its_tail_is_noticed_and_rebuilt(clustered, cluster, unique):
    store = clustered()
    merge(store, packet("A", point(1, 10.0)), p0=5)
    master = cluster.master_of(f"{unique}:lc:{{A}}:1")
    replica = cluster.replica_of(master)
    in_step(master)
    cut_off(replica, master)
    merge(store, packet("A", point(2, 11.0)), p0=8)
    master.kill()
    cluster.wait_for_failover(replica)
    with pytest.raises(RestartRequiredError, match=r"mark of in/0 is 5, 8 was written"):
        patiently(lambda: merge(store, packet("A", point(3, 12.0)), p0=10))
    after = clustered()
    assert after.marks([P0]) == {P0: 5}
    merge(after, packet("A", point(2, 11.0)), p0=8)
    curves = merge(after, packet("A", point(3, 12.0)), p0=10)
    assert curves.points["candid"].tolist() == [1, 2, 3]
    assert after.marks([P0]) == {P0: 10}
    with client(replica) as connection:
        connection.config_set("masterauth", "")
    master.start()
    wait_until(cluster.settled, 30, "the old master to be a replica")


def test_a_slot_that_moves(clustered, cluster, unique):
    """ASK while it is on its way, MOVED afterwards; keys that are not there yet make it wait."""
    store = clustered()
    three = [point(1, 10.0), point(2, 10.5, band=2), point(3, 11.0, band=3)]
    merge(store, packet("A", point(4, 12.0), three), packet("B", point(7, 10.0)))
    slot, source = key_slot(b"A"), cluster.master_of(f"{unique}:lc:{{A}}:1")
    target = next(node for node in cluster.masters() if node is not source)
    names = {node: _identity(node) for node in (source, target)}
    with client(source) as old, client(target) as new:
        new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        for key in old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            old.migrate("127.0.0.1", target.port, key, 0, 5000)
        curves = merge(store, packet("A", point(5, 13.0)), packet("B", point(8, 11.0)))
        assert sorted(curves.points["candid"]) == [1, 2, 3, 4, 5, 7, 8]
        with pytest.raises(TransientError, match="claim"):
            store.claim(["A"], np.array([5]), [(P0, 1)])
        for node in (new, old):
            node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[target])
        assert store.claim(["A"], np.array([5]), [(P0, 1)]).first.tolist() == [True]
        curves = merge(store, packet("A", point(6, 14.0)))
        assert sorted(curves.points["candid"]) == [1, 2, 3, 4, 5, 6]


def _identity(node):
    with client(node) as connection:
        return connection.cluster("myid").decode()


def test_a_cluster_without_a_majority_is_waited_for(clustered, cluster):
    store = clustered()
    halves = cluster.masters()[:2]
    for node in halves:
        node.signal(19)
    try:
        with pytest.raises(TransientError):
            merge(store, *[packet(f"Z{n}", point(n, 10.0)) for n in range(20)])
    finally:
        for node in halves:
            node.signal(18)
    wait_until(cluster.settled, 60, "the cluster to be whole again")
    patiently(lambda: merge(store, *[packet(f"Z{n}", point(n, 10.0)) for n in range(20)]), 60)


class TestConnecting:
    def test_nobody_there(self):
        nowhere = Address(f"redis://127.0.0.1:{free_ports(1)[0]}", "cluster")
        with pytest.raises(TransientError, match="redis connect"):
            Store.connect(nowhere, prefix="p:", group="g")

    def test_another_node_knows_the_way(self, cluster):
        nowhere = f"redis://127.0.0.1:{free_ports(1)[0]}"
        address = Address(nowhere, "cluster", cluster.addresses[-2:])
        Store.connect(address, prefix="p:", group="g").close()

    def test_a_server_that_is_no_cluster(self, redis_url):
        with pytest.raises(ConfigError, match="Cluster mode is not enabled"):
            Store.connect(Address(redis_url, "cluster"), prefix="p:", group="g")

    def test_tls_and_a_user(self, redis_program, tmp_path):
        """With the rights of deploy/SECURITY.md; a wrong password is no outage."""
        server = SecuredRedis(
            tmp_path, redis_program, Certificates(tmp_path), "cluster-pa55word",
            cluster_enabled="yes", cluster_port=free_ports(1)[0], tls_cluster="yes",
        ).start()  # fmt: skip
        try:
            whole(server)
            address = Address(server.url, "cluster")
            store = Store.connect(address, prefix="anomaly:", group="g")
            merge(store, packet("A", point(1, 10.0)), p0=5)
            assert store.marks([P0]) == {P0: 5}
            store.close()
            wrong = Address(server.url.replace("pa55word", "wrong"), "cluster")
            with pytest.raises(ConfigError, match="redis connect"):
                Store.connect(wrong, prefix="anomaly:", group="g")
        finally:
            server.stop()


def whole(server):
    """Make a cluster of one server."""
    with redis.Redis.from_url(server.admin_url) as admin:
        admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        wait_until(lambda: admin.cluster("info")["cluster_state"] == "ok", 30, "the cluster of one")


class TestCheck:
    def test_every_master_is_looked_at(self, cluster, unique, capsys):
        arguments = [
            "--only", "redis", "--json", "--set", "redis.mode=cluster",
            "--set", f"redis.url={cluster.url}", "--set", f"redis.prefix={unique}:",
        ]  # fmt: skip
        bare = cluster.masters()[1]
        with client(bare) as connection:
            connection.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert check.main(arguments, standalone_mode=False) == 0
        finally:
            with client(bare) as connection:
                connection.config_set("maxmemory-policy", "noeviction")
        found = json.loads(capsys.readouterr().out)["findings"]
        assert "3 masters" in found[0]["detail"]
        warnings = [f["detail"] for f in found if f["status"] == "warning"]
        assert warnings == [f"127.0.0.1:{bare.port}: maxmemory-policy allkeys-lru"]

    def test_a_master_without_a_mark(self, clustered):
        store = clustered()
        facts = servers(store._client, store._marks.keys)
        assert all(f.watched for f in facts)
        only = servers(store._client, store._marks.keys[:1])
        details = [finding.detail for f in only for finding in findings_of(f)]
        assert len([d for d in details if d.endswith("no mark lives here")]) == 2
