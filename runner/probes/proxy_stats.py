"""Envoy's own counters, read at both edges of a window: the evidence that a fault fired or a limit held.

Counters are read whole, unused ones too: that an overflow counter stayed at zero is evidence, that it does not exist is
none, and `usedonly` would make the two look the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from runner.results.counters import Readings, added, by_workload, increases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ACTIVE_PATH",
    "COUNTERS_PATH",
    "added",
    "busy",
    "by_workload",
    "fault_counters",
    "increases",
    "interest",
    "is_quiet",
    "parse_stats",
    "read",
]

COUNTERS_PATH = "/stats?type=Counters"
"""Counters only: gauges have no increase, and histograms are merged late."""

ACTIVE_PATH = "/stats?type=Gauges&filter=" + quote(r"(_rq_active|_rq_pending_active|active_faults)$", safe="")
"""Gauges that are above zero while a request is under way."""

_OWN = re.compile(
    r"^(?:http\.(?:admin|agent)\.|listener\.admin\.|cluster\.(?:xds-grpc|sds-grpc|agent|prometheus_stats|zipkin)[;.])"
)
"""Envoy's admin interface and Istio's control plane: at work while we ask, and no part of the traffic."""

_LABELLED = re.compile(r"^(?:istio|istiocustom|wasmcustom)[._]")
"""Istio's standard metrics: their flattened names can't be taken apart, `istio_metrics` reads them with labels."""

_FAULT = re.compile(r"^http\.[^|]*?\.fault\.(?:delays|aborts)_injected$")

_INTEREST = [
    re.compile(pattern)
    for pattern in (
        r"\.fault\.(?:delays_injected|aborts_injected|response_rl_injected|faults_overflow)$",
        r"overflow$",
        r"_timeout$|_max_duration_reached$",
        r"_rq_retry\w*$|\.retry_or_shadow_abandoned$",
        r"\.outlier_detection\.",
        r"_rq_(?:5xx|5\d\d)$",
        r"shadow|mirror",
        r"connect_fail$|_rq_[rt]x_reset$|_active_rq$|_none_healthy$|_failure_eject$|_protocol_error$|no_(?:route|cluster)$",
        r"\.rbac\.|rate_limit|_rq_(?:4xx|4\d\d)$",
        r"^cluster\.(?:outbound|inbound)\|.*\.upstream_rq_(?:total|completed|[123]xx|[123]\d\d)$",
        r"^http\.(?:outbound|inbound)\w*.*\.downstream_rq_(?:total|completed|[123]xx)$",
        r"^cluster\.",
        r"^http\.",
    )
]


def parse_stats(text: str) -> dict[str, int]:
    """The counters and gauges of Envoy's `/stats` text, by full stat name.

    Each line is `name: value`. Names hold `|`, `;` and may hold `:`, so a line is split at its last `: `. Histograms
    (`P0(...)`, `No recorded values`) and text read-outs are passed over.
    """
    stats: dict[str, int] = {}
    for line in text.split("\n"):
        name, separator, value = line.rpartition(": ")
        if separator and value.isascii() and value.removeprefix("-").isdigit():
            stats[name] = int(value)
    return stats


def read(admin: Callable[[str], Mapping[str, str]]) -> Readings:
    """Every counter of every proxy now, by proxy and full stat name.

    Args:
        admin: asks all proxies' admin interfaces (`Mesh.admin`); a proxy that does not answer is missing.
    """
    return {
        proxy: {
            name: value
            for name, value in parse_stats(text).items()
            if not _OWN.match(name) and not _LABELLED.match(name)
        }
        for proxy, text in admin(COUNTERS_PATH).items()
    }


def busy(admin: Callable[[str], Mapping[str, str]]) -> Readings:
    """What is still under way: by proxy, the gauges above zero that count requests and faults in progress.

    The admin interface's own request and the control plane's streams are not counted. A quiet proxy is left out.
    """
    active: Readings = {}
    for proxy, text in admin(ACTIVE_PATH).items():
        above = {name: value for name, value in parse_stats(text).items() if value > 0 and not _OWN.match(name)}
        if above:
            active[proxy] = above
    return active


def is_quiet(admin: Callable[[str], Mapping[str, str]]) -> bool:
    """Whether no proxy has a request under way, so that counters read now belong to the window that ended."""
    return not busy(admin)


def interest(name: str) -> int:
    """How early a stat is shown, 0 first.

    The order: injected faults, overflows, timeouts, retries, ejections, 5xx, mirroring, failed connections, refusals,
    requests, then everything else of clusters, of listeners, and of Envoy itself.
    """
    return next((rank for rank, pattern in enumerate(_INTEREST) if pattern.search(name)), len(_INTEREST))


def fault_counters(moved: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """How many faults were injected, by `<workload> <full stat name>`, for the attestation.

    Args:
        moved: increases by workload.
    """
    return {
        f"{workload} {name}": number
        for workload, counters in sorted(moved.items())
        for name, number in sorted(counters.items())
        if _FAULT.match(name)
    }
