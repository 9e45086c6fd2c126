"""The productpage service: the book's page, put together from details and reviews, and the same as a JSON API.

The patience and the retry below are the sample's hard-coded ones; the guide's delay and timeout tasks live from them.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web
from jinja2 import Environment, FileSystemLoader

from runner.mesh.local.apps.bookinfo import session
from runner.mesh.local.apps.bookinfo.calls import NO_ANSWER, Answer, Upstreams, as_mapping, forwarded
from runner.mesh.local.apps.process import json_response, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.mesh.local.apps.process import Settings

HERE = Path(__file__).parent

OK = 200
STARS = 5

KEPT_PAGES = 64
"""Pages kept ready; a page is about 8 kB."""

WIKIPEDIA = "https://en.wikipedia.org/wiki/The_Comedy_of_Errors"
PRODUCTS = [
    {
        "id": 0,
        "title": "The Comedy of Errors",
        "descriptionHtml": f'<a href="{WIKIPEDIA}">Wikipedia Summary</a>: The Comedy of Errors is one of '
        "<b>William Shakespeare's</b> early plays. It is his shortest and one of his most farcical comedies, with a "
        "major part of the humour coming from slapstick and mistaken identity, in addition to puns and word play.",
    }
]


@dataclass(frozen=True, slots=True)
class Call:
    """How productpage calls a service.

    Attributes:
        service: the Kubernetes Service, and the first step of the path.
        patience: seconds that one try may take.
        tries: how often at most; anything but a 200 is tried again.
    """

    service: str
    patience: float = 3.0
    tries: int = 1

    @property
    def sorry(self) -> str:
        """What is shown instead of an answer."""
        return f"Sorry, product {self.service} are currently unavailable for this book."


@dataclass(frozen=True, slots=True)
class Calls:
    """The sample's calls: reviews are tried twice, the bug that turns 3 s into 6 s."""

    details: Call = Call("details")
    reviews: Call = Call("reviews", tries=2)
    ratings: Call = Call("ratings")


class Pages:
    """The HTML, from templates that are compiled once, at start.

    A page depends on the two answers and the user alone, and load asks for the same few again and again, so the last
    ones are kept: at hundreds of requests per second the mesh has to be measured, not the template.
    """

    def __init__(self) -> None:
        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.globals["most_stars"] = STARS
        self._template = environment.get_template("productpage.html")
        self._index = environment.get_template("index.html").render().encode()
        self.product = lru_cache(maxsize=KEPT_PAGES)(self._product)

    def _product(self, details: Answer, reviews: Answer, user: str | None) -> bytes:
        """The book's page.

        Raises:
            ValueError: an answer with status 200 is not JSON.
        """
        page = self._template.render(
            product=PRODUCTS[0],
            details_status=details.status,
            details=as_mapping(json.loads(details.body)),
            reviews_status=reviews.status,
            reviews=as_mapping(json.loads(reviews.body)),
            user=user,
        )
        return page.encode()

    def index(self) -> bytes:
        """The front page: which service calls which."""
        return self._index


class Productpage:
    """The handlers.

    Args:
        settings: the process's settings.
        calls: patience and tries.
    """

    def __init__(self, settings: Settings, calls: Calls) -> None:
        self._calls = calls
        self._pages = Pages()
        self._results: Counter[tuple[str, int]] = Counter()
        self.upstreams = Upstreams(settings.proxy, pooled=False)

    async def _call(self, call: Call, product: str, headers: Mapping[str, str]) -> Answer:
        """The last answer; what is not a 200 gets the sample's regrets as its body."""
        path = f"{call.service}/{quote(product, safe='')}"
        status = NO_ANSWER
        for _ in range(call.tries):
            answer = await self.upstreams.get(call.service, path, headers, call.patience)
            status = answer.status
            self._results[call.service, status] += 1
            if status == OK:
                return answer
        return Answer(status, json.dumps({"error": call.sorry}).encode())

    async def page(self, request: web.Request) -> web.Response:
        """`/productpage`: details first, then reviews, never both at once; 200 whatever they did, as in the sample."""
        user = signed_in(request)
        headers = outgoing(request, user)
        details = await self._call(self._calls.details, "0", headers)
        reviews = await self._call(self._calls.reviews, "0", headers)
        try:
            page = self._pages.product(details, reviews, user)
        except (ValueError, RecursionError):
            raise web.HTTPInternalServerError(text="details or reviews answered 200 without JSON\n") from None
        return html_response(page)

    async def index(self, _request: web.Request) -> web.Response:
        """`/` and `/index.html`."""
        return html_response(self._pages.index())

    async def _api(self, call: Call, request: web.Request) -> web.Response:
        answer = await self._call(call, request.match_info["id"], outgoing(request, signed_in(request)))
        try:
            return json_response(json.loads(answer.body), answer.status)
        except (ValueError, RecursionError):
            raise web.HTTPInternalServerError(text=f"{call.service} answered 200 without JSON\n") from None

    async def product(self, request: web.Request) -> web.Response:
        """`/api/v1/products/{id}`: the details, with the status that the details service answered."""
        return await self._api(self._calls.details, request)

    async def reviews(self, request: web.Request) -> web.Response:
        """`/api/v1/products/{id}/reviews`."""
        return await self._api(self._calls.reviews, request)

    async def ratings(self, request: web.Request) -> web.Response:
        """`/api/v1/products/{id}/ratings`."""
        return await self._api(self._calls.ratings, request)

    async def metrics(self, _request: web.Request) -> web.Response:
        """`/metrics`: the sample's one Prometheus counter, results of calls by service and status."""
        lines = ["# HELP request_result_total Results of requests", "# TYPE request_result_total counter"]
        for (service, status), count in sorted(self._results.items()):
            lines.append(f'request_result_total{{destination_app="{service}",response_code="{status}"}} {count}')
        return web.Response(text="\n".join(lines) + "\n", headers={"Content-Type": "text/plain; version=0.0.4"})


def signed_in(request: web.Request) -> str | None:
    """The user of the request's session."""
    return session.user_of(request.cookies.get(session.COOKIE))


def outgoing(request: web.Request, user: str | None) -> dict[str, str]:
    """The headers of calls made for a request: `end-user` tells the session's user, never what a client claims."""
    headers = forwarded(request.headers)
    if user is not None:
        headers["end-user"] = user
    return headers


def html_response(page: bytes) -> web.Response:
    """A page that is already encoded."""
    return web.Response(body=page, content_type="text/html", charset="utf-8")


async def products(_request: web.Request) -> web.Response:
    """`/api/v1/products`: all products, which is one."""
    return json_response(PRODUCTS)


async def login(request: web.Request) -> web.Response:
    """`POST /login` with the form fields `username` and `passwd` (any): sign in, go back to the page."""
    user = str((await request.post()).get("username", "")).strip()
    if not session.acceptable(user):
        wanted = f"of at most {session.LONGEST} printable characters"
        raise web.HTTPBadRequest(text=f"Please give the form field username: a name {wanted}.\n")
    response = web.Response(status=302, headers={"Location": "/productpage"})
    response.set_cookie(session.COOKIE, session.sign(user), httponly=True, samesite="Lax")
    return response


async def logout(_request: web.Request) -> web.Response:
    """`/logout`: sign out, go back to the page."""
    response = web.Response(status=302, headers={"Location": "/productpage"})
    response.del_cookie(session.COOKIE)
    return response


async def health(_request: web.Request) -> web.Response:
    """`/health`."""
    return web.Response(text="Product page is healthy")


def make_app(settings: Settings, *, calls: Calls | None = None) -> web.Application:
    """The service as an aiohttp app; `calls` replaces the sample's patience and tries."""
    page = Productpage(settings, calls or Calls())
    app = web.Application()
    app.router.add_get("/", page.index)
    app.router.add_get("/index.html", page.index)
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", page.metrics)
    app.router.add_get("/productpage", page.page)
    app.router.add_post("/login", login)
    app.router.add_get("/logout", logout)
    app.router.add_get("/api/v1/products", products)
    app.router.add_get("/api/v1/products/{id}", page.product)
    app.router.add_get("/api/v1/products/{id}/reviews", page.reviews)
    app.router.add_get("/api/v1/products/{id}/ratings", page.ratings)
    app.router.add_static("/static", HERE / "static")
    app.cleanup_ctx.append(page.upstreams.lifespan)
    return app


if __name__ == "__main__":
    run(make_app)
