"""A service with a fixed concurrency and service time: its true capacity is known from how it is made.

`python queue_server.py WORKERS SECONDS` serves HTTP/1.1 with keep-alive on a free port of 127.0.0.1, prints the URL, and ends when
its standard input closes. At most WORKERS requests are served at a time, each for SECONDS; the others wait in order of arrival.
Written without a web framework, so that what limits it is that and nothing else.
"""

from __future__ import annotations

import asyncio
import sys

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


async def _connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, workers: asyncio.Semaphore, seconds: float
) -> None:
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            async with workers:
                await asyncio.sleep(seconds)
            writer.write(_ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _serve(workers: int, seconds: float) -> None:
    limit = asyncio.Semaphore(workers)
    server = await asyncio.start_server(
        lambda reader, writer: _connection(reader, writer, limit, seconds), "127.0.0.1", 0, backlog=2048
    )
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
