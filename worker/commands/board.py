"""`board`: the live page of the night."""

import socket
import time
from pathlib import Path

import click

from worker.commands.options import settings_options
from worker.commands.reading import broker_settings
from worker.errors import UnavailableError
from worker.logs import configure
from worker.settings import Settings

HOUR_MS = 3_600_000
GRACE_S = 2


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
    host, port = listener.getsockname()[:2]
    click.echo(f"night board: http://{host}:{port}/", err=True)
    feed.start()
    try:
        server.run(sockets=[listener])
    finally:
        feed.close()
