"""A Kafka and a Redis for the time of one benchmark, and what processes cost."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.embedded import EmbeddedRedis
from worker.errors import UnavailableError

PATIENCE_S = 90.0
PR_SET_PDEATHSIG = 1
CHECKOUT = Path(__file__).parents[3]

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "log.index.size.max.bytes": "1048576",
}
"""One node: nothing to replicate to. Small indices: a new log's are read into memory whole, ahead,
and every log of a benchmark is new."""

YOUNG_BROKER = "-XX:TieredStopAtLevel=1"
"""The optimising compiler of a broker a minute old would compete with the worker for its cores,
run after run; one in service has long been compiled. `KAFKA_OPTS` replaces this."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the benchmark's servers are; `pids`: those of the ones that it started itself."""

    bootstrap: str
    redis_url: str
    pids: Sequence[int]


@contextmanager
def servers(bootstrap: str | None, redis_url: str | None) -> Iterator[Servers]:
    """The named servers; each that isn't named is started here and ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="anomaly-worker-bench-") as folder:
        kafka, redis = None, None
        try:
            if redis_url is None:
                redis = EmbeddedRedis().__enter__()
            if bootstrap is None:
                kafka, bootstrap = _start_kafka(Path(folder))
            pids = [p for p in (redis and redis.pid, kafka and kafka.pid) if p]
            yield Servers(bootstrap, redis_url or (redis.url if redis else ""), pids)
        finally:
            if kafka is not None:
                kafka.kill()
                kafka.wait(PATIENCE_S)
            if redis is not None:
                redis.__exit__(None, None, None)


def cpu_seconds(pids: Sequence[int]) -> list[float]:
    """User and system time that these processes have taken so far."""
    tick = os.sysconf("SC_CLK_TCK")
    result = []
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        result.append((int(fields[11]) + int(fields[12])) / tick)
    return result


def _start_kafka(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    home = _kafka_home()
    port, controller = _free_ports(2)
    bootstrap = f"127.0.0.1:{port}"
    properties = {
        **PROPERTIES,
        "listeners": f"PLAINTEXT://{bootstrap},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://{bootstrap}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "log.dirs": str(folder / "data"),
    }
    config = folder / "node.properties"
    lines = "".join(f"{name}={value}\n" for name, value in properties.items())
    config.write_text(lines, encoding="ascii")
    environment = {
        **os.environ,
        "LOG_DIR": str(folder / "logs"),
        # BOOM's protocol gives the broker 1 GB as well.
        "KAFKA_HEAP_OPTS": os.environ.get("KAFKA_HEAP_OPTS", "-Xms1g -Xmx1g"),
        "KAFKA_OPTS": os.environ.get("KAFKA_OPTS", YOUNG_BROKER),
    }
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    subprocess.run(  # noqa: S603 - the distribution that was named
        [home / "bin" / "kafka-storage.sh", "format", f"--cluster-id={cluster}", "-c", config],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    process = subprocess.Popen(  # noqa: S603 - same
        [home / "bin" / "kafka-server-start.sh", config],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one C call
    )
    _await_broker(process, bootstrap)
    return process, bootstrap


def _await_broker(process: subprocess.Popen[bytes], bootstrap: str) -> None:
    from worker.kafka import missing_topics

    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            missing_topics({"bootstrap.servers": bootstrap, "log_level": 0}, [])
        except UnavailableError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _kafka_home() -> Path:
    """KAFKA_HOME, else the distribution beside this checkout."""
    named = os.environ.get("KAFKA_HOME")
    home = Path(named) if named else CHECKOUT.parent / "shared" / "kafka"
    if not (home / "bin" / "kafka-server-start.sh").exists() or shutil.which("java") is None:
        raise UnavailableError("no Kafka: set KAFKA_HOME (needs Java 17), or name --bootstrap")
    return home


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
