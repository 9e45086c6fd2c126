"""fortio's access log: one line for each request, which its result alone does not tell apart.

    {"latency":0.001107,"timestamp":1795502440960232791,"thread":1,"iter":0,"ok":true,"details":"200"}

From it come what live guardrails watch, the course over time, and each status's own latencies. `timestamp` is the sending,
in ns since the epoch; `latency` is in seconds, to the microsecond; `details` is the status (`-1` without a response), with gRPC
`SERVING` or the error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.results.window import Second

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNANSWERED = "0"
_LINE = re.compile(
    rb'{"latency":(?P<latency>[\d.]+),"timestamp":(?P<sent>\d+),"thread":\d+,"iter":\d+,"ok":\w+,"details":"(?P<details>.*)"}'
)
_GRPC_CODE = re.compile(r"rpc error: code = (\w+)")
_GRPC_ANSWERS = {"SERVING": "200", "NOT_SERVING": "503", "UNKNOWN": "503", "SERVICE_UNKNOWN": "404"}
"""gRPC's health statuses as the HTTP statuses that mean the same; the ping service answers SERVING as far as fortio tells."""
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One request.

    Attributes:
        sent: ns since the epoch.
        latency: µs.
        status: `200`, or `0` when there was no response.
        failed: gRPC's name for what went wrong, when it did.
    """

    sent: int
    latency: int
    status: str
    failed: str = ""

    @classmethod
    def of(cls, line: bytes) -> Entry:
        """The request of one line.

        Raises:
            ValueError: this is no line of fortio's access log.
        """
        found = _LINE.fullmatch(line)
        if not found:
            raise ValueError(f"{line[:200]!r} is no line of it")
        status, failed = meaning(found["details"].decode(errors="replace"))
        return cls(int(found["sent"]), round(float(found["latency"]) * 1e6), status, failed)

    @property
    def ended(self) -> int:
        """When the answer was there, ns since the epoch."""
        return self.sent + self.latency * 1000

    def count_into(self, second: Second, name: str) -> None:
        """Add the request to a second."""
        cell = second.cell(name, self.status)
        cell.errors += is_error(self.status)
        if self.status == UNANSWERED:
            cell.unanswered += 1
            if self.failed:
                second.exceptions[self.failed] = second.exceptions.get(self.failed, 0) + 1
        else:
            cell.response.record(self.latency)
            cell.service.record(self.latency)


def meaning(details: str) -> tuple[str, str]:
    """What fortio says of a request as our status, and gRPC's name of the error where there was one."""
    if details == "-1":
        return UNANSWERED, ""
    if details.isdigit():
        return details, ""
    if details in _GRPC_ANSWERS:
        return _GRPC_ANSWERS[details], ""
    code = _GRPC_CODE.match(details)
    return UNANSWERED, code[1] if code else "ERROR"


def is_error(status: str) -> bool:
    """Whether a status counts as an error: all but 2xx and 3xx."""
    return not status.startswith(("2", "3"))


class LogTail:
    """The access log while fortio writes it.

    Args:
        path: the log; need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._rest = b""

    def entries(self) -> Iterator[Entry]:
        """The requests that were written since the last call.

        Raises:
            ValueError: this is no access log of fortio.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._at)
            while chunk := file.read(_CHUNK):
                self._at += len(chunk)
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    yield Entry.of(line)


class LiveSeconds:
    """Seconds for whoever watches: what ended in each, as soon as it is over."""

    def __init__(self, log: LogTail, name: str) -> None:
        self._log = log
        self._name = name
        self._begin: int | None = None
        self._offset = 0
        self._waiting: dict[int, Second] = {}

    def over(self, now: int) -> list[Second]:
        """The seconds that are over at `now` (ns since the epoch) and were not told yet, in order."""
        for entry in self._log.entries():
            if self._begin is None:
                self._begin = entry.sent
            offset = max(self._offset, (entry.ended - self._begin) // 1_000_000_000)
            entry.count_into(self._waiting.setdefault(offset, Second(offset)), self._name)
        if self._begin is None:
            return []
        told = []
        while self._begin + (self._offset + 1) * 1_000_000_000 <= now:
            told.append(self._waiting.pop(self._offset, Second(self._offset)))
            self._offset += 1
        return told


def seconds_of(log: LogTail, name: str, started: int, length: float) -> list[Second]:
    """Every second of a window, without gaps; a request belongs to the one in which it was sent.

    Args:
        log: the whole log.
        name: of the requests.
        started: the window's beginning, ns since the epoch.
        length: for how long requests were sent, in seconds; one that was sent at its very end belongs to the last second.
    """
    seconds = [Second(offset) for offset in range(max(1, -int(-length // 1)))]
    for entry in log.entries():
        first = min(max(0, (entry.sent - started) // 1_000_000_000), len(seconds) - 1)
        last = min((entry.ended - started) // 1_000_000_000, len(seconds) - 1)
        entry.count_into(seconds[first], name)
        for offset in range(first, last):
            seconds[offset].in_flight += 1
    return seconds
