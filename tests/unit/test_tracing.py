"""Traces: off without a collector, to a real one over HTTP, silent about secrets."""

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.processes import wait_until
from worker.config import wants_traces
from worker.errors import ConfigError
from worker.metrics import Metrics
from worker.tracing import NO_SPANS, open_spans

ROOT = Path(__file__).parents[2]


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP and keeps it."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Receiver)
        self.requests = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def spans(self):
        return {
            span.name: (span, {a.key: a.value.string_value for a in whole.resource.attributes})
            for request in list(self.requests)
            for whole in request.resource_spans
            for scope in whole.scope_spans
            for span in scope.spans
        }


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector(monkeypatch):
    server = Collector()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    yield server
    server.shutdown()
    server.server_close()


def fails():
    raise ValueError("redis://user:secret@host")


def test_spans_reach_a_collector(collector, monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    metrics = Metrics(open_spans("3", wanted=wants_traces()))
    inner = metrics.timed("state", fails)
    with pytest.raises(ValueError, match="secret"):
        metrics.spans.around("prepare", inner)()
    assert metrics.timed("decode", lambda: 7)() == 7
    wait_until(lambda: len(collector.spans()) == 3, 10, "the spans")
    found = collector.spans()
    state, resource = found["state"]
    assert state.parent_span_id == found["prepare"][0].span_id
    assert (state.status.code, state.status.message) == (2, "ValueError")
    assert b"secret" not in b"".join(r.SerializeToString() for r in collector.requests)
    assert found["decode"][0].status.code == 0
    assert resource["service.name"] == "anomaly-worker"
    assert resource["service.instance.id"] == "3"
    assert resource["deployment.environment"] == "test"


def test_the_environment_names_the_service(collector, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "stars")
    Metrics(open_spans("0", wanted=wants_traces())).timed("decode", lambda: None)()
    wait_until(collector.spans, 10, "the span")
    assert collector.spans()["decode"][1]["service.name"] == "stars"


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_it_is_on_when_the_environment_says_so(monkeypatch, variables, wanted):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wants_traces() is wanted


SHORT_LIFE = """
from worker.tracing import open_spans
open_spans("0", wanted=True).around("decode", int)()
"""


def test_the_last_spans_are_sent(collector):
    subprocess.run([sys.executable, "-c", SHORT_LIFE], cwd=ROOT, check=True, timeout=30)
    assert "decode" in collector.spans()


def test_a_collector_that_is_silent_does_not_hold_the_end(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        subprocess.run([sys.executable, "-c", SHORT_LIFE], cwd=ROOT, check=True, timeout=15)


def test_off_it_is_not_in_the_way():
    assert open_spans("0", wanted=False) is NO_SPANS
    assert NO_SPANS.around("decode", fails) is fails


def test_without_the_extra_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"pip install 'anomaly-worker\[otel\]'"):
        open_spans("0", wanted=True)
