"""`board`: the live page of the night."""

import contextlib
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.commands.options import settings_options
from worker.commands.reading import broker_settings
from worker.errors import UnavailableError
from worker.logs import configure
from worker.settings import Settings

if TYPE_CHECKING:
    import uvicorn

    from worker.board.feed import Feed

HOUR_MS = 3_600_000
GRACE_S = 2
DEMO_REWRITE_S = 2.0


@click.command()
@settings_options
@click.option("--host", default="127.0.0.1", show_default=True,
              help="Address to listen on; put a proxy in front before you open it.")  # fmt: skip
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535),
              help="0 takes a free one.")  # fmt: skip
@click.option("--hours", default=36.0, show_default=True, type=click.FloatRange(min=0),
              help="How far back alerts are read at the start.")  # fmt: skip
def board(
    config: Path | None, assignments: tuple[str, ...], host: str, port: int, hours: float
) -> None:
    """Serve the night board: ranking, light curves, stamps, why and how far to trust it.

    Read-only and without login. The order is that of `rank`; run it too.
    """
    settings = broker_settings(config, assignments)
    configure(settings.worker.log_format)
    since_ms = int(time.time() * 1000 - hours * HOUR_MS)
    serve(settings, listen(host, port), since_ms)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; UnavailableError where the address can't be had."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise UnavailableError(f"{host}:{port}: {error.strerror}") from error


def serve(settings: Settings, listener: socket.socket, since_ms: int | None) -> None:
    """Serve until TERM or INT."""
    feed, server = _wired(settings, since_ms)
    _announce(listener)
    feed.start()
    try:
        server.run(sockets=[listener])
    finally:
        feed.close()


class LiveBoard:
    """The board and its `rank`, in threads of this process: for the demo."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener, self._stop = listener, threading.Event()

    def start(self, settings: Settings) -> None:
        """Begin to rank and to serve what these topics hold."""
        from worker.commands.rank import Ranker

        self._feed, self._server = _wired(settings, None)
        ranker = Ranker(settings, rewrite_s=DEMO_REWRITE_S)
        self._threads = [
            threading.Thread(target=ranker.run, args=(self._stop,), daemon=True),
            threading.Thread(target=self._server.run, args=([self._listener],), daemon=True),
        ]
        self._feed.start()
        for thread in self._threads:
            thread.start()
        url = _announce(self._listener)
        if sys.stdout.isatty():
            click.launch(url)

    def linger(self) -> None:
        """Stay until Ctrl-C."""
        click.echo("the board stays until Ctrl-C", err=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        self._stop.set()
        self._server.should_exit = True
        self._feed.close()
        for thread in self._threads:
            thread.join(GRACE_S)


def _wired(settings: Settings, since_ms: int | None) -> tuple["Feed", "uvicorn.Server"]:
    """The feed and the server over one state."""
    try:
        import uvicorn

        from worker.board.app import make_app
    except ImportError as error:
        raise UnavailableError("the board needs: pip install 'anomaly-worker[board]'") from error
    from worker.board.feed import Feed
    from worker.board.state import BoardState
    from worker.topics import Topics

    state = BoardState(settings.source.survey, settings.source.longitude)
    feed = Feed(settings.kafka.common, Topics(settings.output.topic), state, since_ms)
    app = make_app(state, lambda: server.should_exit)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GRACE_S)
    )
    return feed, server


def _announce(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    url = f"http://{host}:{port}/"
    click.echo(f"night board: {url}", err=True)
    return url
