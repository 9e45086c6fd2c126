"""The reviews service: two reviews; v1 without stars, v2 with black and v3 with red ones, asked of ratings."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from runner.errors import InputError, Problem
from runner.mesh.local.apps.bookinfo.calls import Upstreams, as_mapping, forwarded
from runner.mesh.local.apps.process import json_response, run

if TYPE_CHECKING:
    from runner.mesh.local.apps.process import Settings


@dataclass(frozen=True, slots=True)
class Stars:
    """How a version shows ratings.

    Attributes:
        color: of the stars.
        patience: seconds to wait for ratings. The sample's 10 s under productpage's 3 s is the bug that the guide's
            delay task finds, and v3's 2.5 s is its fix.
    """

    color: str
    patience: float


VERSIONS: dict[str, Stars | None] = {"v1": None, "v2": Stars("black", 10.0), "v3": Stars("red", 2.5)}

TEXTS = {
    "Reviewer1": "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!",
    "Reviewer2": "Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by"
    " Shakespeare.",
}

UNAVAILABLE = "Ratings service is currently unavailable"

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


class Reviews:
    """The handlers.

    Args:
        settings: the process's settings.
        stars: how to show ratings; None asks for none.
    """

    def __init__(self, settings: Settings, stars: Stars | None) -> None:
        self._settings = settings
        self._stars = stars
        self.upstreams = Upstreams(settings.proxy, pooled=True)

    async def reviews(self, request: web.Request) -> web.Response:
        """`/reviews/{id}`: always 200 for a number; what ratings did is told inside."""
        product = request.match_info["id"]
        if not _NUMBER.fullmatch(product):
            raise web.HTTPNotFound
        reviews: list[dict[str, Any]] = [{"reviewer": name, "text": text} for name, text in TEXTS.items()]
        if self._stars:
            ratings = await self._ratings(request, int(product), self._stars)
            for review in reviews:
                stars = ratings.get(review["reviewer"])
                known = isinstance(stars, int) and not isinstance(stars, bool) and stars != -1
                review["rating"] = {"stars": stars, "color": self._stars.color} if known else {"error": UNAVAILABLE}
        pod, cluster = self._settings.pod_name, self._settings.cluster_name
        return json_response({"id": str(int(product)), "podname": pod, "clustername": cluster, "reviews": reviews})

    async def _ratings(self, request: web.Request, product: int, stars: Stars) -> dict[str, Any]:
        headers = forwarded(request.headers)
        user = request.headers.get("end-user")
        if user is not None:
            headers["end-user"] = user
        answer = await self.upstreams.get("ratings", f"ratings/{product}", headers, stars.patience)
        if answer.status != 200:  # noqa: PLR2004 - nothing else is a success to the sample
            return {}
        try:
            return as_mapping(as_mapping(json.loads(answer.body)).get("ratings"))
        except (ValueError, RecursionError):
            return {}


async def health(_request: web.Request) -> web.Response:
    """`/health`."""
    return json_response({"status": "Reviews is healthy"})


def make_app(settings: Settings, *, stars: Stars | None = None) -> web.Application:
    """The service as an aiohttp app.

    Args:
        settings: `version` chooses among `VERSIONS`.
        stars: another patience or colour than the version's own.

    Raises:
        InputError: there is no such version.
    """
    if settings.version not in VERSIONS:
        known = "one of " + ", ".join(VERSIONS)
        raise InputError(Problem(f'reviews has no version "{settings.version}"', expected=known))
    reviews = Reviews(settings, stars or VERSIONS[settings.version])
    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_get("/reviews/{id}", reviews.reviews)
    app.cleanup_ctx.append(reviews.upstreams.lifespan)
    return app


if __name__ == "__main__":
    run(make_app)
