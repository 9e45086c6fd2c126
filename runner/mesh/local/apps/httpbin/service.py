"""What httpbin answers, as far as resilience tests use it: echoes, statuses, delays and bytes."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiohttp import web

from runner.mesh.local.apps.process import json_response, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.mesh.local.apps.process import Settings

PORT = 8080

LONGEST_DELAY = 10.0
"""Seconds; httpbin cuts longer delays down to this."""

MOST_BYTES = 100 * 1024
"""httpbin cuts larger answers down to this."""

MOST_REDIRECTS = 100

STATUSES = range(200, 600)
"""A status below 200 is not an answer yet."""

MOVED = {301, 302, 303, 307, 308}
UNAUTHORIZED = 401


def _several(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """A multi-mapping as JSON: a list where a name occurs more than once."""
    every: dict[str, list[Any]] = {}
    for name, value in pairs.items():
        every.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in every.items()}


def _headers(request: web.Request) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        title = "-".join(part.capitalize() for part in name.split("-"))
        joined[title] = f"{joined[title]},{value}" if title in joined else value
    return joined


def _origin(request: web.Request) -> str:
    return request.headers.get("X-Forwarded-For") or request.remote or ""


def _seen(request: web.Request) -> dict[str, Any]:
    """What every echo tells."""
    return {
        "args": _several(request.query),
        "headers": _headers(request),
        "origin": _origin(request),
        "url": str(request.url),
    }


async def _seen_with_body(request: web.Request) -> dict[str, Any]:
    form: dict[str, Any] = {}
    files: dict[str, Any] = {}
    data = ""
    parsed = None
    if request.content_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        fields = _several(await request.post())
        for name, value in fields.items():
            if isinstance(value, web.FileField):
                files[name] = value.file.read().decode(errors="replace")
            else:
                form[name] = value
    else:
        data = (await request.read()).decode(errors="replace")
        try:
            parsed = json.loads(data) if data else None
        except (ValueError, RecursionError):
            parsed = None
    return {**_seen(request), "data": data, "files": files, "form": form, "json": parsed}


async def get(request: web.Request) -> web.Response:
    """`GET /get`."""
    return json_response(_seen(request))


async def post(request: web.Request) -> web.Response:
    """`/post`, `/put`, `/patch`, `/delete`, each with its own method."""
    return json_response(await _seen_with_body(request))


async def anything(request: web.Request) -> web.Response:
    """`/anything`, with any method and any path below."""
    return json_response({**await _seen_with_body(request), "method": request.method})


async def headers(request: web.Request) -> web.Response:
    """`/headers`."""
    return json_response({"headers": _headers(request)})


async def ip(request: web.Request) -> web.Response:
    """`/ip`."""
    return json_response({"origin": _origin(request)})


async def user_agent(request: web.Request) -> web.Response:
    """`/user-agent`."""
    return json_response({"user-agent": request.headers.get("User-Agent")})


async def uuid(_request: web.Request) -> web.Response:
    """`/uuid`."""
    return json_response({"uuid": str(uuid4())})


def choose_status(codes: str) -> int:
    """One of the statuses of `200`, `200,503` or, weighted, `200:0.9,503:0.1`.

    Raises:
        ValueError: a part is no status from 200 to 599, or no weight.
    """
    statuses: list[int] = []
    weights: list[float] = []
    for part in codes.split(","):
        code, _, weight = part.partition(":")
        statuses.append(int(code))
        weights.append(float(weight or 1))
    if not all(code in STATUSES for code in statuses) or not all(0 <= weight < float("inf") for weight in weights):
        raise ValueError(codes)
    return random.choices(statuses, weights)[0]  # noqa: S311 - a load test's coin, nothing secret


async def status(request: web.Request) -> web.Response:
    """`/status/{codes}`: that status, or one of several, with any method."""
    try:
        code = choose_status(request.match_info["codes"])
    except ValueError:
        raise web.HTTPBadRequest(text="Invalid status code\n") from None
    extra = {}
    if code in MOVED:
        extra["Location"] = "/redirect/1"
    if code == UNAUTHORIZED:
        extra["WWW-Authenticate"] = 'Basic realm="Fake Realm"'
    return web.Response(status=code, headers=extra)


async def delay(request: web.Request) -> web.Response:
    """`/delay/{seconds}`: an echo after a while, at most `LONGEST_DELAY`."""
    try:
        seconds = float(request.match_info["seconds"])
    except ValueError:
        raise web.HTTPBadRequest(text="Invalid delay\n") from None
    if not seconds >= 0:
        raise web.HTTPBadRequest(text="Invalid delay\n")
    await asyncio.sleep(min(seconds, LONGEST_DELAY))
    return json_response(await _seen_with_body(request))


async def octets(request: web.Request) -> web.Response:
    """`/bytes/{n}?seed=`: that many random bytes, the same ones for the same seed."""
    try:
        count = int(request.match_info["n"])
        seed = int(request.query["seed"]) if "seed" in request.query else None
    except ValueError:
        raise web.HTTPBadRequest(text="Invalid number\n") from None
    if count < 0:
        raise web.HTTPBadRequest(text="Invalid number\n")
    body = random.Random(seed).randbytes(min(count, MOST_BYTES))  # noqa: S311 - filler
    return web.Response(body=body, content_type="application/octet-stream")


async def redirect(request: web.Request) -> web.Response:
    """`/redirect/{n}`: 302 to `/redirect/{n-1}`, at last to `/get`."""
    text = request.match_info["n"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 3 and 0 < int(text) <= MOST_REDIRECTS):  # noqa: PLR2004
        raise web.HTTPBadRequest(text="Invalid number of redirects\n")
    left = int(text) - 1
    return web.Response(status=302, headers={"Location": f"/redirect/{left}" if left else "/get"})


async def html(_request: web.Request) -> web.Response:
    """`/html`: a small page."""
    text = "<!DOCTYPE html>\n<html>\n<head><title>httpbin</title></head>\n<body><h1>A small page</h1></body>\n</html>\n"
    return web.Response(text=text, content_type="text/html")


async def index(_request: web.Request) -> web.Response:
    """`/`: what there is."""
    endpoints = sorted({route.resource.canonical for route in _request.app.router.routes() if route.resource})
    return web.Response(text="\n".join(["httpbin", *endpoints]) + "\n")


def make_app(settings: Settings) -> web.Application:
    """The service as an aiohttp app."""

    async def hostname(_request: web.Request) -> web.Response:
        return json_response({"hostname": settings.pod_name})

    app = web.Application()
    app.add_routes(
        [
            web.get("/", index),
            web.get("/get", get),
            web.post("/post", post),
            web.put("/put", post),
            web.patch("/patch", post),
            web.delete("/delete", post),
            web.route("*", "/anything", anything),
            web.route("*", "/anything/{rest:.*}", anything),
            web.get("/headers", headers),
            web.get("/hostname", hostname),
            web.get("/html", html),
            web.get("/ip", ip),
            web.get("/user-agent", user_agent),
            web.get("/uuid", uuid),
            web.route("*", "/status/{codes}", status),
            web.route("*", "/delay/{seconds}", delay),
            web.get("/bytes/{n}", octets),
            web.get("/redirect/{n}", redirect),
        ]
    )
    return app


if __name__ == "__main__":
    run(make_app, port=PORT)
