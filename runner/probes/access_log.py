"""Istio's default text access log, taken apart: the one place where a single request's fate can be read.

The format is Istio's `EnvoyTextLogFormat` (pilot/pkg/model/telemetry_logging.go). Envoy writes header values as they
came, quotes included, so the line is anchored at the fields that can't hold any.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING

from runner.results.document.evidence import AccessLogEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NO_FLAGS = "-"
_SERVER_ERROR = 500

_LINE = re.compile(
    r"\[(?P<time>[^\]]*)\] "
    r'"(?P<method>\S+) (?P<path>\S+) (?P<protocol>\S+)" '
    r"(?P<status>\d+) (?P<flags>\S+) (?P<details>\S+) (?P<termination>\S+) "
    r'"(?P<transport_failure>.*?)" '
    r"(?P<received>\d+|-) (?P<sent>\d+|-) (?P<duration>\d+|-) (?P<upstream_time>\d+|-) "
    r'"(?P<forwarded_for>.*?)" "(?P<user_agent>.*)" "(?P<request_id>[^"]*)" "(?P<authority>[^"]*)" '
    r'"(?P<upstream_host>[^"]*)" '
    r"(?P<cluster>\S+) (?P<upstream_local>\S+) (?P<downstream_local>\S+) (?P<downstream_remote>\S+) "
    r"(?P<server_name>\S+) (?P<route>.*)"
)


@dataclass(frozen=True, slots=True)
class AccessLog:
    """What was read of all proxies' logs.

    Attributes:
        entries: by proxy, in the order of the log.
        unreadable: lines that are not in Istio's default format.
    """

    entries: dict[str, list[AccessLogEntry]] = field(default_factory=dict)
    unreadable: int = 0


def parse_line(line: str, proxy: str) -> AccessLogEntry | None:
    """One line as an entry; None when it is not in Istio's default format."""
    line = line.rstrip("\r\n")
    match = _LINE.fullmatch(line)
    if not match:
        return None
    return AccessLogEntry(
        proxy=proxy,
        time=match["time"],
        method=match["method"],
        path=match["path"],
        authority=match["authority"],
        status=int(match["status"]),
        flags=match["flags"],
        details=match["details"],
        duration_ms=int(match["duration"]) if match["duration"] != "-" else 0,
        upstream_cluster=match["cluster"],
        upstream_host=match["upstream_host"],
        line=line,
    )


def read(lines_by_proxy: Mapping[str, Iterable[str]]) -> AccessLog:
    """All lines that are in Istio's default format, and how many are not (blank ones aside)."""
    entries: dict[str, list[AccessLogEntry]] = {}
    unreadable = 0
    for proxy, lines in lines_by_proxy.items():
        for line in lines:
            entry = parse_line(line, proxy)
            if entry:
                entries.setdefault(proxy, []).append(entry)
            elif line.strip():
                unreadable += 1
    return AccessLog(entries, unreadable)


def sample(lines_by_proxy: Mapping[str, Iterable[str]], limit: int) -> list[AccessLogEntry]:
    """At most `limit` entries: those with response flags first, then server errors, then the rest.

    Within each of the three, the proxies take turns, and each proxy's lines keep the order of its log.
    """
    log = read(lines_by_proxy)
    chosen: list[AccessLogEntry] = []
    for rank in range(3):
        queues = [[entry for entry in entries if _rank(entry) == rank] for _, entries in sorted(log.entries.items())]
        chosen += [entry for turn in zip_longest(*queues) for entry in turn if entry is not None]
    return chosen[:limit]


def _rank(entry: AccessLogEntry) -> int:
    if entry.flags != NO_FLAGS:
        return 0
    return 1 if entry.status >= _SERVER_ERROR else 2
