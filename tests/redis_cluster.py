"""Redis Cluster and Sentinel for tests, on loopback: what fails over, and how to make it."""

import os

import redis

from tests.processes import Server, free_ports, wait_until
from tests.redis_server import RedisServer
from worker.marks import SLOTS

NODE_TIMEOUT_MS = 1000
"""A master that is away this long is replaced; small, so that the tests are quick."""


PASSWORD = "stars-pa55word"  # of throw-away servers


class ClusterNode(RedisServer):
    """One member of a cluster."""

    def __init__(self, folder, binary, **options):
        (self.bus,) = free_ports(1)
        super().__init__(
            folder,
            binary,
            cluster_port=self.bus,
            cluster_enabled="yes",
            cluster_config_file="nodes.conf",
            cluster_node_timeout=NODE_TIMEOUT_MS,
            cluster_replica_validity_factor=0,
            repl_diskless_sync_delay=0,
            **options,
        )


class RedisCluster:
    """Three masters with a replica each, or what `masters` and `replicas` say."""

    def __init__(self, folder, binary, masters=3, replicas=1, **options):
        self.nodes = [
            ClusterNode(folder / str(number), binary, **options)
            for number in range(masters * (1 + replicas))
        ]
        self._masters = masters

    @property
    def url(self):
        return self.nodes[0].url

    @property
    def addresses(self):
        return [f"127.0.0.1:{node.port}" for node in self.nodes]

    def start(self):
        for node in self.nodes:
            node.start()
        masters = self.nodes[: self._masters]
        for number, node in enumerate(masters):
            first, last = (SLOTS * n // len(masters) for n in (number, number + 1))
            with client(node) as connection:
                connection.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                connection.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
        with client(self.nodes[0]) as connection:
            for node in self.nodes[1:]:
                connection.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        wait_until(self._all_known, 30, "the cluster's nodes to know each other")
        for number, node in enumerate(self.nodes[self._masters :]):
            with client(node) as connection, client(masters[number % len(masters)]) as master:
                connection.execute_command("CLUSTER", "REPLICATE", master.cluster("myid").decode())
        wait_until(self.settled, 30, "the cluster's replicas")
        return self

    def stop(self):
        for node in self.nodes:
            node.stop()

    def running(self):
        return [node for node in self.nodes if node.process.poll() is None]

    def settled(self):
        """Whether every running node sees the cluster whole and every replica has caught up."""
        for node in self.running():
            with client(node) as connection:
                if connection.cluster("info")["cluster_state"] != "ok":
                    return False
                facts = connection.info("replication")
                if facts["role"] == "slave" and facts["master_link_status"] != "up":
                    return False
        return True

    def _all_known(self):
        for node in self.nodes:
            with client(node) as connection:
                facts = connection.cluster("info")
                handshakes = connection.execute_command("CLUSTER", "NODES")
            if int(facts["cluster_known_nodes"]) != len(self.nodes) or "handshake" in str(
                handshakes
            ):
                return False
        return True

    def masters(self):
        """The running masters that own slots."""
        return [node for node in self.running() if self._role(node) == "master"]

    def master_of(self, key):
        """The running node that owns the key's slot."""
        for node in self.masters():
            with client(node) as connection:
                try:
                    connection.exists(key)
                except redis.exceptions.MovedError:
                    continue
                return node
        raise AssertionError(f"nobody owns the slot of {key}")

    def replica_of(self, master):
        """The replica of a master."""
        for node in self.running():
            with client(node) as connection:
                facts = connection.info("replication")
            if facts["role"] == "slave" and facts["master_port"] == master.port:
                return node
        raise AssertionError("no replica")

    def wait_for_failover(self, replica):
        """Until the replica is master and everyone knows."""
        wait_until(lambda: self._role(replica) == "master" and self.settled(), 30, "the failover")

    def keys(self, pattern="*"):
        """Every key, with its content."""
        found = {}
        for node in self.masters():
            with client(node) as connection:
                found.update({key: connection.dump(key) for key in connection.keys(pattern)})
        return found

    def _role(self, node):
        with client(node) as connection:
            return connection.info("replication")["role"]


class Sentinels:
    """A master with a replica, watched by three sentinels that call it `stars`."""

    service = "stars"

    def __init__(self, folder, binary):
        options = {"requirepass": PASSWORD, "masterauth": PASSWORD, "repl_diskless_sync_delay": 0}
        self.first = RedisServer(folder / "first", binary, **options)
        master = f"127.0.0.1 {self.first.port}"
        self.second = RedisServer(folder / "second", binary, replicaof=master, **options)
        for server in (self.first, self.second):
            server.url = _with_password(server.port)
        self.watchers = [
            Sentinel(folder / f"sentinel-{number}", binary, self.service, self.first.port)
            for number in range(3)
        ]
        self.url = f"redis://:{PASSWORD}@unused/0"

    @property
    def addresses(self):
        return [f"127.0.0.1:{watcher.port}" for watcher in self.watchers]

    def start(self):
        self.first.start()
        self.second.start()
        wait_until(self._in_step, 30, "the replica")
        for watcher in self.watchers:
            watcher.start()
        wait_until(self._agreed, 30, "the sentinels to know each other and the replica")
        return self

    def stop(self):
        for server in (*self.watchers, self.first, self.second):
            server.stop()

    def wait_for_failover(self):
        """Until the second server is master and every sentinel names it."""
        wait_until(lambda: self._named() == {self.second.port}, 60, "the failover")

    def _named(self):
        return {watcher.facts()["port"] for watcher in self.watchers}

    def _in_step(self):
        with client(self.second) as connection:
            return connection.info("replication")["master_link_status"] == "up"

    def _agreed(self):
        seen = [watcher.facts() for watcher in self.watchers]
        return all(f["num-other-sentinels"] == 2 and f["num-slaves"] == 1 for f in seen)


class Sentinel(Server):
    """One sentinel; two of three must agree that the master is gone."""

    def __init__(self, folder, binary, service, master):
        super().__init__(folder)
        (self.port,) = free_ports(1)
        self.url = _with_password(self.port)
        self._service, self._binary = service, binary
        self._config = folder / "sentinel.conf"
        self._config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"requirepass {PASSWORD}\nsentinel sentinel-pass {PASSWORD}\n"
            f"sentinel monitor {service} 127.0.0.1 {master} 2\n"
            f"sentinel auth-pass {service} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {service} {NODE_TIMEOUT_MS}\n"
            f"sentinel failover-timeout {service} 5000\n"
        )

    def command(self):
        return [self._binary, str(self._config), "--sentinel"], dict(os.environ)

    def answers(self):
        return RedisServer.answers(self)

    def facts(self):
        with client(self) as connection:
            return connection.sentinel_master(self._service)


def cut_off(replica, master):
    """The replica hears of nothing new any more; it stays fit to take over."""
    with client(replica) as connection:
        connection.config_set("masterauth", "wrong")
    with client(master) as connection:
        connection.execute_command("CLIENT", "KILL", "TYPE", "replica")


def in_step(master, replicas=1):
    """Wait until the replica has everything."""
    with client(master) as connection:
        assert connection.wait(replicas, 10_000) == replicas


def _with_password(port):
    return f"redis://:{PASSWORD}@127.0.0.1:{port}/0"


def client(server):
    """A plain connection to one server."""
    return redis.Redis.from_url(server.url)
