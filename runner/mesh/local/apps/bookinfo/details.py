"""The details service: facts about a book, the same ones whatever its number, as in the sample."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiohttp import web

from runner.mesh.local.apps.process import json_response, run

if TYPE_CHECKING:
    from runner.mesh.local.apps.process import Settings

BOOK = {
    "author": "William Shakespeare",
    "year": 1595,
    "type": "paperback",
    "pages": 200,
    "publisher": "PublisherA",
    "language": "English",
    "ISBN-10": "1234567890",
    "ISBN-13": "123-1234567890",
}

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


async def details(request: web.Request) -> web.Response:
    """`/details/{id}`: the book, or 400 for an id that is no number."""
    last = request.path.rstrip("/").rpartition("/")[2]
    if not _NUMBER.fullmatch(last):
        return json_response({"error": "please provide numeric product id"}, 400)
    return json_response({"id": int(last), **BOOK})


async def health(_request: web.Request) -> web.Response:
    """`/health`."""
    return json_response({"status": "Details is healthy"})


def make_app(_settings: Settings) -> web.Application:
    """The service as an aiohttp app."""
    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_route("*", r"/details{rest:(?:/.*)?}", details)
    return app


if __name__ == "__main__":
    run(make_app)
