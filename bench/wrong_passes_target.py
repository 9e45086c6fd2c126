"""Targets that misbehave in one known way each: `python -m bench.wrong_passes_target MODE` prints its port and serves."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time

PAGE = b"<h1>The Comedy of Errors</h1>"
SORRY = b"<h1>Something went wrong on our side</h1>"
PERIOD, DOWN = 1.0, 0.4
"""`flaky`: for so many of every so many seconds connections are reset."""
DIES_AFTER = 1.2
"""`dies`: seconds after the first request from which on every connection is reset."""
SLOW = 0.3
"""`slow`: seconds per answer."""


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: text/html", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Target:
    """One target.

    Args:
        mode: how it misbehaves: one of `MODES`.
    """

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._first: float | None = None

    def _down(self) -> bool:
        now = time.monotonic()
        if self._first is None:
            self._first = now
        since = now - self._first
        return {
            "reset": True,
            "dies": since > DIES_AFTER,
            "flaky": since % PERIOD > PERIOD - DOWN,
        }.get(self._mode, False)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the client closes it."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if self._down():
                    _reset(writer)
                    return
                writer.write(await self._reply(head.split(b" ")[1].decode()))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _reply(self, path: str) -> bytes:
        if path.startswith("/api/v1/query"):
            empty = {"status": "success", "data": {"resultType": "vector", "result": []}}
            return _answer("200 OK", json.dumps(empty).encode())
        if path == "/maintenance":
            return _answer("200 OK", b"<h1>We will be back soon</h1>")
        if self._mode == "slow":
            await asyncio.sleep(SLOW)
        if self._mode == "moved":
            return _answer("302 Found", b"", "Location: /maintenance")
        return _answer("200 OK", SORRY if self._mode == "sorry" else PAGE)


MODES = ("well", "reset", "dies", "flaky", "slow", "moved", "sorry")


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of a farewell."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _main(mode: str) -> None:
    server = await asyncio.start_server(Target(mode).serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
