"""A small web server that remembers what it was asked; run as a process of its own, it prints its port as its first line."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import ssl
import sys
import time

from aiohttp import web

seen: list[dict[str, object]] = []
answers = itertools.count(1)


@web.middleware
async def remember(request: web.Request, handler):
    if not request.path.startswith("/__"):
        seen.append(
            {
                "path": request.path,
                "method": request.method,
                "at": time.monotonic(),
                "headers": dict(request.headers),
                "body": await request.text(),
                "certificate": bool(request.transport and request.transport.get_extra_info("peercert")),
            }
        )
    return await handler(request)


async def answer(request: web.Request) -> web.Response:
    await asyncio.sleep(float(request.query.get("ms", "0")) / 1000)
    chosen = next(answers) % int(request.query.get("every", "1")) == 0
    status = int(request.query.get("status", "200")) if chosen else 200
    return web.Response(text=request.query.get("text", "ok"), status=status)


async def login(request: web.Request) -> web.Response:
    await asyncio.sleep(float(request.query.get("ms", "0")) / 1000)
    response = web.Response(text="welcome")
    response.set_cookie("session", f"user-{len(seen)}")
    return response


async def hang_up(request: web.Request) -> web.Response:
    request.transport.close()
    return web.Response()


async def stall(request: web.Request) -> web.Response:
    seconds = float(request.query["seconds"])
    asyncio.get_running_loop().call_later(float(request.query["in"]), time.sleep, seconds)
    return web.Response()


async def log(_request: web.Request) -> web.Response:
    return web.json_response(seen)


async def forget(_request: web.Request) -> web.Response:
    seen.clear()
    return web.Response()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--client-ca")
    options = parser.parse_args()
    context = None
    if options.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=options.client_ca)
        context.load_cert_chain(options.certificate, options.key)
        if options.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
    app = web.Application(middlewares=[remember])
    app.router.add_get("/__seen", log)
    app.router.add_get("/__forget", forget)
    app.router.add_get("/__stall", stall)
    app.router.add_post("/login", login)
    app.router.add_get("/hang-up", hang_up)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()  # until whoever started it is gone


if __name__ == "__main__":
    asyncio.run(main())
