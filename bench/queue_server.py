"""A service with a fixed concurrency and service time: its true capacity is known from how it is made.

`python queue_server.py WORKERS SECONDS` serves HTTP/1.1 with keep-alive on a free port of 127.0.0.1, prints the URL, and ends when
its standard input closes. At most WORKERS requests are served at a time, each for SECONDS; the others wait in order of arrival.

A worker is a moment on the clock at which it is free again, not a task that sleeps: a request's service begins when it came or
when the first worker is free, whichever is later, and ends exactly SECONDS after that. A timer that fires late makes that one answer
late and nothing after it. Workers that sleep add every overshoot to the next request: eight of 20 ms then served 376 to 385
requests per second instead of 400, fewer the busier the machine. Without a web framework, so that what limits it is that and
nothing else.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
_END = b"\r\n\r\n"


class Workers:
    """When each worker is free again, on the clock that requests are timed by."""

    def __init__(self, number: int, seconds: float) -> None:
        """So many workers, free from the beginning, each of whom takes `seconds` for a request."""
        self._free = [0.0] * number
        self._seconds = seconds

    def take(self, now: float) -> float:
        """Hand a request that came `now` to the first free worker; the moment at which it is served."""
        done = max(now, self._free[0]) + self._seconds
        heapq.heapreplace(self._free, done)
        return done


class _Connection(asyncio.Protocol):
    """One keep-alive connection; its requests have no bodies."""

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[float], float]) -> None:
        self._loop = loop
        self._take = take
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it was lost does not matter
        self._transport = None

    def data_received(self, data: bytes) -> None:
        *requests, self._read = (self._read + data).split(_END)
        for _ in requests:
            self._loop.call_at(self._take(self._loop.time()), self._answer)

    def _answer(self) -> None:
        if self._transport is not None:
            self._transport.write(_ANSWER)


async def _serve(number: int, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    workers = Workers(number, seconds)
    server = await loop.create_server(lambda: _Connection(loop, workers.take), "127.0.0.1", 0, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
