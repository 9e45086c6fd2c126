"""The cases of `bench.wrong_passes`: what is asked, and what is wrong with each so that nothing is proven.

On the mesh the question is always whether Bookinfo's page stays quick, whole and without errors while ratings are slow:
reviews v2 asks ratings for every page, and the fault delays those calls by 300 ms. On a plain target it is whether the page
comes quickly, whole and without errors under 60 requests/s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Resource = dict[str, Any]

DELAY = 300
"""ms: of the fault, and what the page takes at least when it fires."""
LIMIT = 1000
"""ms: what 95 % of the pages may take."""
RATE = 60
"""Requests per second."""
STARS = "glyphicon-star"
"""What the product page shows when reviews and ratings answered."""
WELL = "The Comedy of Errors"
"""What a plain target's page shows."""


def _virtual_service(host: str, *http: Resource, **spec: object) -> Resource:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": host},
        "spec": {"hosts": [host], **spec, "http": list(http)},
    }


def _to(host: str, subset: str = "", **more: object) -> Resource:
    destination = {"host": host} | ({"subset": subset} if subset else {})
    return {**more, "route": [{"destination": destination}]}


def _slow(percent: float = 100, milliseconds: int = DELAY) -> Resource:
    return {"delay": {"percentage": {"value": percent}, "fixedDelay": f"{milliseconds}ms"}}


BASE: list[Resource] = [
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "reviews"},
        "spec": {
            "host": "reviews",
            "subsets": [{"name": version, "labels": {"version": version}} for version in ("v1", "v2", "v3")],
        },
    },
    _virtual_service("reviews", _to("reviews", "v2")),
]
"""What the mesh holds in every case before anything is applied."""

_FIRES = [_virtual_service("ratings", _to("ratings", fault=_slow()))]


def _only_for(**match: object) -> list[Resource]:
    """The fault for requests that match, everything else as ever."""
    return [_virtual_service("ratings", _to("ratings", match=[match], fault=_slow()), _to("ratings"))]


@dataclass(frozen=True, slots=True)
class Case:
    """One question to every tool.

    Attributes:
        name: what is wrong, or that all is well.
        group: of the table.
        apply: Istio resources over the base; None for a plain target.
        target: how the plain target behaves; `closed` is a port where nothing listens.
        passes: whether the right answer is a pass.
        symptom: whether the fault's delay must be seen in the page's time, where somebody thinks of asserting it.
        path: what is asked for.
        text: what the page must show.
        rate: arrivals per second.
        at_once: requests that may be under way at once.
        silent: the share of tasks that end before they ask for anything.
        burn: turns of an empty loop that each task takes before it asks.
        only_latency: nothing is asked but that p95 is low.
        question: the evidence that is asked for besides: `name`, `counter` or `promql`.
        taken_away: the fault is removed from the proxies behind everybody's back a second after it was applied.
        no_load: why Chaos Toolkit can't be asked, which sends no load but its probes.
    """

    name: str
    group: str
    apply: list[Resource] | None = None
    target: str = "well"
    passes: bool = False
    symptom: bool = False
    path: str = "/productpage"
    text: str = STARS
    rate: float = RATE
    at_once: int = 50
    silent: float = 0.0
    burn: int = 0
    only_latency: bool = False
    question: str = ""
    taken_away: bool = False
    no_load: str = field(default="")

    @property
    def slug(self) -> str:
        """The name as a file can have it."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name.lower()).strip("-")[:60]


_GENERATOR = "no load of its own"


def _fault(name: str, apply: list[Resource], **more: Any) -> Case:
    return Case(name, "fault", apply, symptom=True, **more)


def _plain(name: str, group: str, **more: Any) -> Case:
    return Case(name, group, **{"path": "/", "text": WELL, **more})


CASES: tuple[Case, ...] = (
    Case("all is well: the fault fires", "control", _FIRES, passes=True, symptom=True),
    Case("all is well: no fault, the mesh as it is", "control", [], passes=True),
    _plain("all is well: a plain target", "control", passes=True),
    _fault("the fault is for a user who never comes", _only_for(headers={"end-user": {"exact": "jason"}})),
    _fault("the fault is for a path nobody asks for", _only_for(uri={"prefix": "/ratings/v2"})),
    _fault("the fault hits 0 % of the calls", [_virtual_service("ratings", _to("ratings", fault=_slow(0)))]),
    _fault(
        "the fault's route stands after one that takes all",
        [_virtual_service("ratings", _to("ratings"), _to("ratings", fault=_slow()))],
    ),
    _fault(
        "the fault is at the gateway, where nobody asks for ratings",
        [_virtual_service("ratings", _to("ratings", fault=_slow()), gateways=["bookinfo-gateway"])],
    ),
    _fault(
        "the fault is on a service that no one calls",
        [*_FIRES, BASE[0], _virtual_service("reviews", _to("reviews", "v1"))],
        text="An extremely entertaining play",
    ),
    _fault(
        "two faults, of which only the other one fires",
        [
            *_only_for(headers={"end-user": {"exact": "jason"}}),
            _virtual_service("details", _to("details", fault=_slow(100, 20))),
        ],
    ),
    _fault("the load goes to another service", _FIRES, path="/api/v1/products", text=WELL),
    _fault("the fault is taken away in the middle", _FIRES, taken_away=True),
    Case("wrong path", "no traffic", [], path="/productpag"),
    Case("the users' tasks never ask for anything", "no traffic", [], silent=1.0, no_load=_GENERATOR),
    Case("one request a minute", "no traffic", [], rate=1 / 60, no_load=_GENERATOR),
    Case("nine of ten tasks end without a request", "no traffic", [], silent=0.9, no_load=_GENERATOR),
    _plain("five users for a load that takes 18", "starved", target="slow", at_once=5, no_load=_GENERATOR),
    _plain("a script that takes more CPU than there is", "starved", burn=1_500_000, no_load=_GENERATOR),
    _plain("20,000 requests/s", "starved", rate=20_000, no_load=_GENERATOR),
    Case("p95 of a request that nobody makes", "empty", [], question="name", no_load="no load of its own"),
    Case("a counter that does not exist is zero", "empty", [], question="counter"),
    _plain("a Prometheus that knows no such series", "empty", question="promql"),
    _plain("p95 where no request is answered", "empty", target="reset", only_latency=True, no_load="no latencies"),
    _plain("nothing listens", "target", target="closed"),
    _plain("an error page with status 200", "target", target="sorry"),
    _plain("a redirect to the maintenance page", "target", target="moved"),
    _plain("the target dies in the middle", "target", target="dies"),
    _plain(
        "the target is down 0.4 s of every second, p95 asked",
        "target",
        target="flaky",
        only_latency=True,
        no_load="no latencies",
    ),
)
"""The controls first."""

QUICK = 3
"""With `--quick`, every so many of the cases."""
