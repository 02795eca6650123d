import json
import socket
import struct
import urllib.error
import urllib.request

import pytest

from worker.errors import ConfigError
from worker.health import ALIVE_S, Health, HealthServer
from worker.metrics import Metrics


@pytest.fixture
def metrics():
    return Metrics()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(metrics, clock):
    return Health(metrics.ready, clock)


@pytest.fixture
def server(health, metrics):
    server = HealthServer(health, metrics.registry, "127.0.0.1", 0)
    yield server
    server.close()


def get(server, path, accept="*/*"):
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}")
    request.add_header("Accept", accept)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def test_alive_from_the_first_tick_until_the_loop_stands_still(server, health, clock):
    assert get(server, "/healthz")[0] == 503
    health.tick()
    assert get(server, "/healthz")[0] == 200
    clock.now += ALIVE_S - 1
    assert get(server, "/healthz")[0] == 200
    clock.now += 2
    assert get(server, "/healthz")[0] == 503


def test_ready_only_when_nothing_is_missing(server, health, metrics):
    status, _, text = get(server, "/readyz")
    assert status == 503
    assert text == "waiting for: alive, warm, joined, broker, redis\n"
    health.tick()
    health.warm = health.joined = health.broker = True
    assert get(server, "/readyz")[2] == "waiting for: redis\n"
    assert "anomaly_worker_ready 0.0" in get(server, "/metrics")[2]
    health.state = lambda: True
    assert get(server, "/readyz")[0] == 200
    assert "anomaly_worker_ready 1.0" in get(server, "/metrics")[2]


def test_version_and_unknown_pages(server, health):
    health.version = {"version": "1.2.3"}
    assert json.loads(get(server, "/version")[2]) == {"version": "1.2.3"}
    assert get(server, "/etc/passwd")[0] == 404


def test_metrics_in_both_formats(server):
    assert get(server, "/metrics")[1].startswith("text/plain")
    assert get(server, "/metrics", "application/openmetrics-text")[1].startswith(
        "application/openmetrics-text"
    )


def test_a_taken_port_is_named(server, health, metrics):
    with pytest.raises(ConfigError, match=str(server.port)):
        HealthServer(health, metrics.registry, "127.0.0.1", server.port)


def test_a_client_that_goes_away_leaves_no_trace(server, capfd):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            # Reset instead of a goodbye: the answer meets a closed door.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert get(server, "/metrics")[0] == 200
    assert "Traceback" not in capfd.readouterr().err
