"""A TCP proxy that can be slow or cut: the network between a worker and Redis."""

import asyncio
import threading
from contextlib import suppress

CHUNK = 1 << 16


class Proxy:
    """Forwards a port of its own to `port` on loopback, in a thread."""

    def __init__(self, port):
        self._target = port
        self._delay_s, self._cut = 0.0, False
        self._writers = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        # Never on the caller's thread: a browser that another test holds has its loop there.
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(10)
        self.port = self._server.sockets[0].getsockname()[1]

    def slow(self, delay_s):
        """Every piece of data takes this much longer, in both directions."""
        self._delay_s = delay_s

    def cut(self):
        """End every connection and refuse new ones."""
        self._cut = True
        self._loop.call_soon_threadsafe(self._drop)

    def heal(self):
        """As if nothing had been."""
        self._delay_s, self._cut = 0.0, False

    def close(self):
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _drop(self):
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader, writer):
        if self._cut:
            writer.transport.abort()
            return
        with suppress(OSError):
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, server_writer}
            await asyncio.gather(
                self._pump(reader, server_writer), self._pump(server_reader, writer)
            )
            self._writers -= {writer, server_writer}
            return
        writer.transport.abort()

    async def _pump(self, reader, writer):
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                writer.write(data)
                await writer.drain()
        writer.close()
