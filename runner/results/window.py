"""What the driver saw in one window of load: the raw record that a trial file keeps and every figure is computed from.

Plain dataclasses without heavy imports. A request belongs to the second of its due moment (`arrivals`) or its sending
(closed loop).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from runner.results.histogram import Histogram


@dataclass(slots=True)
class Cell:
    """Requests of one name and one status within one second.

    Attributes:
        response: answered requests, µs from the due moment (arrivals) or from the sending (closed loop).
        service: answered requests, µs from the sending.
        errors: how many of the requests Locust marked failed.
        unanswered: requests without a response (status "0"), which are in no histogram.
    """

    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    errors: int = 0
    unanswered: int = 0

    @property
    def requests(self) -> int:
        """All requests of this cell, answered or not."""
        return self.response.count + self.unanswered


@dataclass(slots=True)
class Second:
    """One second of load.

    Attributes:
        offset: whole seconds since the window began.
        cells: by request name, then by status ("200", "503", "0" for no response).
        outcomes: by request name, then by label: how many responses the loadfile labelled so.
        exceptions: by exception class: how many requests got no response because of it.
        due: arrivals that were due in this second (0 in a closed loop).
        dropped: arrivals that found the pool full and were never sent.
        lag: µs between the due moment and the sending of each arrival's first request.
        in_flight: tasks under way when the second ended.
    """

    offset: int
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    exceptions: dict[str, int] = field(default_factory=dict)
    due: int = 0
    dropped: int = 0
    lag: Histogram = field(default_factory=Histogram)
    in_flight: int = 0

    def cell(self, name: str, status: str) -> Cell:
        """The cell of a request name and a status, made when it is not there yet."""
        return self.cells.setdefault(name, {}).setdefault(status, Cell())

    def add(self, other: Second) -> None:
        """Add what another process saw in the same second."""
        for name, by_status in other.cells.items():
            for status, theirs in by_status.items():
                ours = self.cell(name, status)
                ours.response.add(theirs.response)
                ours.service.add(theirs.service)
                ours.errors += theirs.errors
                ours.unanswered += theirs.unanswered
        for name, labels in other.outcomes.items():
            mine = self.outcomes.setdefault(name, {})
            for label, number in labels.items():
                mine[label] = mine.get(label, 0) + number
        for kind, number in other.exceptions.items():
            self.exceptions[kind] = self.exceptions.get(kind, 0) + number
        self.due += other.due
        self.dropped += other.dropped
        self.lag.add(other.lag)
        self.in_flight += other.in_flight

    def to_json(self) -> dict[str, Any]:
        """Plain data, one line of a driver's stream or one element of a trial file."""
        return {
            "offset": self.offset,
            "cells": {
                name: {
                    status: {
                        "response": cell.response.to_json(),
                        "service": cell.service.to_json(),
                        "errors": cell.errors,
                        "unanswered": cell.unanswered,
                    }
                    for status, cell in by_status.items()
                }
                for name, by_status in self.cells.items()
            },
            "outcomes": self.outcomes,
            "exceptions": self.exceptions,
            "due": self.due,
            "dropped": self.dropped,
            "lag": self.lag.to_json(),
            "in_flight": self.in_flight,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Second:
        """The second that `to_json` gave."""
        second = cls(offset=data["offset"])
        for name, by_status in data["cells"].items():
            for status, cell in by_status.items():
                second.cells.setdefault(name, {})[status] = Cell(
                    response=Histogram.from_json(cell["response"]),
                    service=Histogram.from_json(cell["service"]),
                    errors=cell["errors"],
                    unanswered=cell["unanswered"],
                )
        second.outcomes = {name: dict(labels) for name, labels in data["outcomes"].items()}
        second.exceptions = dict(data["exceptions"])
        second.due, second.dropped, second.in_flight = data["due"], data["dropped"], data["in_flight"]
        second.lag = Histogram.from_json(data["lag"])
        return second


@dataclass(frozen=True, slots=True)
class Pace:
    """What a closed loop set out to do, to hold against what it did.

    Attributes:
        qps: requests per second that it should have kept to; 0 for as fast as it could.
        requests: how many requests that makes; 0 when there is no such number.
        seconds: how long it should have lasted; 0 for as long as the requests take.
        behind: share of waits between requests that should have been over before they began, where the generator tells.
    """

    qps: float = 0.0
    requests: int = 0
    seconds: float = 0.0
    behind: float = 0.0


@dataclass(frozen=True, slots=True)
class Native:
    """The generator's own result, for its own tools; kept as a file of its own.

    Attributes:
        generator: whose: `fortio`.
        content: JSON.
    """

    generator: str
    content: bytes


@dataclass(slots=True)
class Window:
    """A whole window of load, drained.

    Attributes:
        seconds: in order, without gaps, one for each second of the window.
        length: how long load was generated, in seconds (the drain after it not counted).
        open_loop: whether arrivals were scheduled (True) or users looped (False).
        scheduled: arrivals that the schedule held (0 in a closed loop).
        started: wall-clock time of the first due moment, seconds since the epoch.
        ended: wall-clock time when the last response was in.
        generator_cpu: CPU time of the busiest generator process divided by the window's length.
        generator_cores: how many processors that process can use at once.
        drained: whether every request had ended before the drain's time limit.
        stopped: whether the window was cut short from outside (guardrail, signal).
        unmeasured: requests that ended within the window and belong to no arrival or task (`on_start`, background
            greenlets): proxies count them.
        user_errors: exceptions that left tasks or `on_start` (Locust's `user_error`), by a description with class,
            file and line.
        series: whether `seconds` tells when requests were sent; False: one record stands for the whole window.
        pace: what a closed loop of fortio set out to do; None for other generators.
        remarks: what the generator has to say of this window, a sentence each.
        native: the generator's own result; no part of the plain data.
    """

    seconds: list[Second]
    length: float
    open_loop: bool
    scheduled: int
    started: float
    ended: float
    generator_cpu: float
    drained: bool = True
    stopped: bool = False
    unmeasured: int = 0
    user_errors: dict[str, int] = field(default_factory=dict)
    generator_cores: int = 1
    series: bool = True
    pace: Pace | None = None
    remarks: list[str] = field(default_factory=list)
    native: Native | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for the trial file."""
        return {
            "seconds": [second.to_json() for second in self.seconds],
            "length": self.length,
            "open_loop": self.open_loop,
            "scheduled": self.scheduled,
            "started": self.started,
            "ended": self.ended,
            "generator_cpu": self.generator_cpu,
            "drained": self.drained,
            "stopped": self.stopped,
            "unmeasured": self.unmeasured,
            "user_errors": self.user_errors,
            "generator_cores": self.generator_cores,
            "series": self.series,
            "pace": asdict(self.pace) if self.pace else None,
            "remarks": self.remarks,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Window:
        """The window that `to_json` gave."""
        pace = data.get("pace")
        seconds = [Second.from_json(second) for second in data["seconds"]]
        return cls(**{**data, "seconds": seconds, "pace": Pace(**pace) if pace else None})

    def whole(self) -> Second:
        """Everything of the window in one record (its offset is 0)."""
        total = Second(offset=0)
        for second in self.seconds:
            total.add(second)
        return total
