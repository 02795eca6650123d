"""A Redis Cluster loses a master in mid-run: the replica takes over and the books are right."""

import json

import pytest

from tests.chaos.evidence import gathered
from tests.chaos.verdict import judged
from tests.e2e.harness import (
    Worker,
    command,
    create_topic,
    produce,
    run_arguments,
    settled,
    wait_until,
    workers,
)
from tests.e2e.packets import needs_alerts, objects_of_two_values, real_items
from tests.redis_cluster import RedisCluster

pytestmark = needs_alerts

TOPIC, OUT, GROUP = "failover", "failover.anomaly", "failover"
RESTART = 75


@pytest.fixture
def cluster(redis_program, tmp_path):
    servers = RedisCluster(tmp_path / "redis", redis_program)
    try:
        yield servers.start()
    finally:
        servers.stop()


def test_nothing_is_lost_doubled_or_wrong(kafka_bootstrap, cluster, tmp_path):
    items = real_items()
    create_topic(kafka_bootstrap, TOPIC, 4)
    produce(kafka_bootstrap, TOPIC, items)
    arguments = run_arguments(
        kafka_bootstrap, cluster.url, topic=TOPIC, out=OUT, group=GROUP, redis__mode="cluster",
        redis__nodes=json.dumps(cluster.addresses), redis__timeout_s="2", batch__max_records="20",
    )  # fmt: skip
    with workers(Worker(tmp_path / "log", arguments)) as (worker,):
        wait_until(lambda: settled(kafka_bootstrap, OUT) >= len(items) / 5, 60, "a start", worker)
        lost = cluster.masters()[0]
        replica = cluster.replica_of(lost)
        lost.kill()
        cluster.wait_for_failover(replica)
        code = finished(kafka_bootstrap, len(items), worker)
    if code == RESTART:  # the replica had missed the tail: the restart is the rebuild
        with workers(Worker(tmp_path / "log", arguments)) as (second,):
            code = finished(kafka_bootstrap, len(items), second)
    assert code == 0, (tmp_path / "log").read_text()[-4000:]
    code, out, error = command("ledger", "--json", *arguments)
    assert code == 0, out + error
    assert json.loads(out)["records"] == len(items)
    evidence = gathered(
        kafka_bootstrap,
        [master.url for master in cluster.masters()],
        topic=TOPIC,
        out=OUT,
        prefix=f"{GROUP}:",
        unordered=objects_of_two_values(items),
    )
    verdict = judged(evidence)
    assert verdict.clean, verdict
    assert verdict.scored > 50


def finished(bootstrap, count, worker):
    """The exit code after the last record, or of a worker that wants to be started again."""
    wait_until(
        lambda: worker.process.poll() == RESTART or settled(bootstrap, OUT) >= count, 120, "the end"
    )
    return worker.process.poll() or worker.drain()
