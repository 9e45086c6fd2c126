"""Requests from workload to workload in Istio's standard metrics, which the proxies count themselves.

`istio_requests_total` and `istio_request_duration_milliseconds` are read from each proxy's `/stats/prometheus` at both
edges of a window. Stock Envoy puts `envoy_` before the names and leaves a missing value empty; Istio's own build does
neither and says `unknown`: both are read, and a missing value is "" here.

The admin interface filters by the stat's own name, not by what Prometheus is told. Istio's build calls the counter
`istiocustom.istio_requests_total.reporter...` (`istiocustom` is a namespace that the Prometheus format leaves out), the embedded
mesh `istio_requests_total.reporter...`, and a stats access logger with the scope `istio` calls it `istio.requests_total.reporter...`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from runner.results.document.evidence import Edge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATH = "/stats/prometheus?filter=istio.request"
"""The filter is a regular expression, found anywhere in the stat's name: it keeps the answer small, whichever name it is."""

_TRIES = 4
"""Envoy merges histograms after it was asked: a reading shows the merge before it. Two readings are enough at rest."""

_LINE = re.compile(
    r"(?:envoy_)?istio_(requests_total|request_duration_milliseconds_(?:sum|count))\{(.*)\}"
    r" ([0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?: -?[0-9]+)?\s*"
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class EdgeKey(NamedTuple):
    """What makes two requests belong to the same edge."""

    reporter: str
    source: str
    destination: str
    service: str
    code: str
    flags: str


@dataclass(slots=True)
class EdgeReading:
    """The counters of one edge at one moment.

    Attributes:
        requests: `istio_requests_total`, exact at every reading.
        timed: requests in the duration histogram, which may lag behind.
        milliseconds: the sum of their durations.
    """

    requests: float = 0
    timed: float = 0
    milliseconds: float = 0.0


Reading = dict[str, dict[EdgeKey, EdgeReading]]
"""By proxy."""


def parse(text: str) -> dict[EdgeKey, EdgeReading]:
    """One proxy's edges from its `/stats/prometheus` text; label sets that differ only in other labels are added up."""
    readings: dict[EdgeKey, EdgeReading] = {}
    for line in text.split("\n"):
        match = _LINE.fullmatch(line)
        if not match:
            continue
        name, raw, value = match.groups()
        reading = readings.setdefault(_key(raw), EdgeReading())
        if name == "requests_total":
            reading.requests += float(value)
        elif name.endswith("_count"):
            reading.timed += float(value)
        else:
            reading.milliseconds += float(value)
    return readings


def read(admin: Callable[[str], Mapping[str, str]], tries: int = _TRIES) -> Reading:
    """Every proxy's edges now.

    Proxies are asked again, `tries` times at most, until their duration histograms have caught up with their counters.

    Args:
        admin: asks all proxies' admin interfaces (`Mesh.admin`); a proxy that does not answer is missing.
        tries: how often to ask at most.
    """
    readings: Reading = {}
    for _ in range(max(1, tries)):
        readings = {proxy: parse(text) for proxy, text in admin(PATH).items()}
        if all(edge.timed == edge.requests for edges in readings.values() for edge in edges.values()):
            break
    return readings


def edges(before: Reading, after: Reading) -> list[Edge]:
    """The requests between two readings, one `Edge` per key over all proxies, the most requests first.

    `duration_ms` is the mean of the window's requests, None where the histogram did not show all of them.
    """
    total: dict[EdgeKey, EdgeReading] = {}
    for proxy, readings in after.items():
        for key, now in readings.items():
            earlier = before.get(proxy, {}).get(key, EdgeReading())
            if now.requests < earlier.requests:  # the proxy was started anew
                earlier = EdgeReading()
            sums = total.setdefault(key, EdgeReading())
            sums.requests += now.requests - earlier.requests
            sums.timed += now.timed - earlier.timed
            sums.milliseconds += now.milliseconds - earlier.milliseconds
    found = [
        Edge(
            **key._asdict(),
            requests=round(sums.requests),
            duration_ms=sums.milliseconds / sums.timed if sums.timed == sums.requests else None,
        )
        for key, sums in total.items()
        if sums.requests > 0
    ]
    return sorted(found, key=lambda edge: (edge.reporter != "source", -edge.requests, edge.source, edge.destination))


def _key(raw: str) -> EdgeKey:
    labels = {name: _ESCAPE.sub(_unescape, value) for name, value in _LABEL.findall(raw)}

    def known(label: str) -> str:
        value = labels.get(label, "")
        return "" if value == "unknown" else value

    return EdgeKey(
        reporter=labels.get("reporter", ""),
        source=known("source_workload"),
        destination=known("destination_workload"),
        service=known("destination_service"),
        code=labels.get("response_code", ""),
        flags=labels.get("response_flags", ""),
    )


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]
