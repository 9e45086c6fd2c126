"""The ratings service: two star counts, kept in memory, with the sample's troubled variants chosen by version."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from typing import TYPE_CHECKING, Any, NoReturn

from aiohttp import web

from runner.mesh.local.apps.process import json_response, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.mesh.local.apps.process import Settings

HALF = 0.5
"""The share of requests that `v-faulty` refuses (503) and `v-delayed` delays."""

DELAY = 7.0
"""Seconds that `v-delayed` takes."""

PERIODS = {"v-unavailable": 60.0, "v-unhealthy": 900.0}
"""Seconds between turns from serving to refusing and back; `v-unhealthy` fails its health check too."""

_LEADING_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,300}")


def product_number(path: str) -> int | None:
    """The number that the last step of a path begins with (JavaScript's `parseInt`), None without one."""
    match = _LEADING_NUMBER.match(path.rpartition("/")[2])
    return int(match[0]) if match else None


class Ratings:
    """The handlers and what they keep.

    Args:
        version: `v1`, or one of the troubled ones: `v-faulty`, `v-delayed`, `v-unavailable`, `v-unhealthy`.
        clock: seconds that never run backwards.
        chance: a random number from 0 to 1.
        delay: seconds that `v-delayed` takes.
    """

    def __init__(self, version: str, clock: Callable[[], float], chance: Callable[[], float], delay: float) -> None:
        self._version = version
        self._clock = clock
        self._chance = chance
        self._delay = delay
        self._started = clock()
        self._posted: dict[int, Any] = {}

    def _in_bad_turn(self) -> bool:
        period = PERIODS.get(self._version)
        return period is not None and int((self._clock() - self._started) / period) % 2 == 1

    def _answer(self, product: int) -> web.Response:
        ratings = self._posted.get(product, {"Reviewer1": 5, "Reviewer2": 4})
        return json_response({"id": product, "ratings": ratings})

    async def get(self, request: web.Request) -> web.Response:
        """`GET /ratings/{id}`."""
        product = product_number(request.path)
        if product is None:
            return json_response({"error": "please provide numeric product ID"}, 400)
        unlucky = self._version in {"v-faulty", "v-delayed"} and self._chance() <= HALF
        if self._in_bad_turn() or (unlucky and self._version == "v-faulty"):
            return json_response({"error": "Service unavailable"}, 503)
        if unlucky:
            await asyncio.sleep(self._delay)
        return self._answer(product)

    async def post(self, request: web.Request) -> web.Response:
        """`POST /ratings/{id}`: keep the JSON of the body as the product's ratings."""
        product = product_number(request.path)
        if product is None:
            return json_response({"error": "please provide numeric product ID"}, 400)
        try:
            self._posted[product] = json.loads(await request.read(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return json_response({"error": "please provide valid ratings JSON"}, 400)
        return self._answer(product)

    async def health(self, _request: web.Request) -> web.Response:
        """`/health`."""
        if self._version == "v-unhealthy" and self._in_bad_turn():
            return json_response({"status": "Ratings is not healthy"}, 500)
        return json_response({"status": "Ratings is healthy"})


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def make_app(
    settings: Settings,
    *,
    clock: Callable[[], float] = time.monotonic,
    chance: Callable[[], float] = random.random,
    delay: float = DELAY,
) -> web.Application:
    """The service as an aiohttp app; see `Ratings` for the arguments."""
    ratings = Ratings(settings.version, clock, chance, delay)
    app = web.Application()
    app.router.add_get("/health", ratings.health)
    app.router.add_get(r"/ratings/{id:.*}", ratings.get)
    app.router.add_post(r"/ratings/{id:.*}", ratings.post)
    return app


if __name__ == "__main__":
    run(make_app)
