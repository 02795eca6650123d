"""Health over HTTP: /healthz, /readyz, /metrics and /version, on a thread of its own."""

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import Gauge
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from worker.errors import ConfigError

log = logging.getLogger(__name__)

ALIVE_S = 60.0
"""The loop is alive when it polled, or waited for a dependency, within this time."""


class Health:
    """How the worker stands; written by the loop's thread, read by the server's.

    `warm`: the model's warm-up passed; `joined`: the group has taken the worker in; `broker`:
    the last poll did not fail; `state`: asks Redis, True when it answers.
    """

    def __init__(self, ready: Gauge, clock: Callable[[], float] = time.monotonic) -> None:
        self.warm = self.joined = self.broker = False
        self.state: Callable[[], bool] = lambda: False
        self.version: Mapping[str, object] = {}
        self._ready, self._clock = ready, clock
        self._ticked: float | None = None

    def tick(self) -> None:
        """The loop is alive."""
        self._ticked = self._clock()

    @property
    def alive(self) -> bool:
        """Whether the loop ticked lately; False before its first tick."""
        return self._ticked is not None and self._clock() - self._ticked < ALIVE_S

    def missing(self) -> list[str]:
        """What keeps the worker from being ready."""
        facts = {
            "alive": self.alive, "warm": self.warm, "joined": self.joined, "broker": self.broker,
            "redis": self.state(),
        }  # fmt: skip
        missing = [name for name, good in facts.items() if not good]
        self._ready.set(not missing)
        return missing


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's
        """A client that went away before its answer is no news; anything else is a bug of ours."""
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
        log.log(level, "answering %s failed: %r", client_address, error)


class HealthServer:
    """Answers on one port until it is closed; a scrape never holds up the loop."""

    def __init__(self, health: Health, registry: CollectorRegistry, host: str, port: int) -> None:
        """Listen; port 0 takes any free one. Raises ConfigError when the port is taken."""
        handler = type("Handler", (_Handler,), {"health": health, "registry": registry})
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            raise ConfigError(f"worker.metrics_port {host}:{port}: {error.strerror}") from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="health", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    health: Health
    registry: CollectorRegistry
    timeout = 10  # a client that sends nothing gives its thread back

    def do_GET(self) -> None:
        """One of four pages."""
        pages = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/version": self._version,
        }
        page = pages.get(self.path.partition("?")[0])
        if page is None:
            self._answer(404, "text/plain", b"/healthz /readyz /metrics /version\n")
        else:
            page()

    def _healthz(self) -> None:
        if self.health.alive:
            self._answer(200, "text/plain", b"ok\n")
        else:
            self._answer(503, "text/plain", b"the loop stands still or has not begun\n")

    def _readyz(self) -> None:
        missing = self.health.missing()
        text = f"waiting for: {', '.join(missing)}\n" if missing else "ok\n"
        self._answer(503 if missing else 200, "text/plain", text.encode())

    def _metrics(self) -> None:
        self.health.missing()  # sets the gauge
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        self._answer(200, content_type, encode(self.registry))

    def _version(self) -> None:
        self._answer(200, "application/json", json.dumps(self.health.version).encode() + b"\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Probes are no news."""
        log.debug(format, *args)
