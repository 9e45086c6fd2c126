"""A server that stops: every two seconds it answers nothing for 200 ms, and otherwise at once. `python -m bench.stall_server PORT`.

At 200 requests/s by a schedule, arithmetic gives what a client waits: a tenth of the requests fall into a stop and wait
evenly between 0 and 200 ms, so 5 % wait 100 ms or more, and 1 % wait 180 ms or more.
"""

from __future__ import annotations

import asyncio
import sys
import time

EVERY = 2.0
STOP = 0.2
_BODY = b"ok"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n" + _BODY


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
        self.unread = b""

    def data_received(self, data: bytes) -> None:
        self.unread += data
        while b"\r\n\r\n" in self.unread:
            self.unread = self.unread.partition(b"\r\n\r\n")[2]
            self.transport.write(_ANSWER)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", port, backlog=1024)
    began = time.monotonic()
    number = 1
    print("ready", flush=True)
    async with server:
        while True:
            await asyncio.sleep(max(0.0, began + number * EVERY - time.monotonic()))
            number += 1
            time.sleep(STOP)  # noqa: ASYNC251 - the stop itself: nothing is answered meanwhile


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
