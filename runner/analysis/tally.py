"""One window added up over its seconds, because every figure, interval and check starts from the same sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.results.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.results.window import Cell, Window


@dataclass(slots=True)
class Tally:
    """What was counted and timed, of all requests or of one request name.

    Attributes:
        length: measured time in seconds.
        response: answered requests, µs from the due moment (closed loop: from the sending).
        service: answered requests, µs from the sending.
        errors: requests that Locust marked failed.
        unanswered: requests without a response.
        due: arrivals that were due (of all names; 0 for one name and in a closed loop).
        dropped: arrivals that were never sent (of all names; 0 for one name).
        status: requests by status, "0" without a response.
        exceptions: by class, requests without a response (of all names; empty for one name).
        outcomes: responses by the loadfile's label.
    """

    length: float = 0.0
    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    errors: int = 0
    unanswered: int = 0
    due: int = 0
    dropped: int = 0
    status: dict[str, int] = field(default_factory=dict)
    exceptions: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """All requests, answered or not."""
        return self.response.count + self.unanswered

    def add_cell(self, status: str, cell: Cell) -> None:
        """Add the requests of one cell of a window."""
        self.response.add(cell.response)
        self.service.add(cell.service)
        self.errors += cell.errors
        self.unanswered += cell.unanswered
        if cell.requests:
            self.status[status] = self.status.get(status, 0) + cell.requests

    def add(self, other: Tally) -> None:
        """Add another trial's sums."""
        self.length += other.length
        self.response.add(other.response)
        self.service.add(other.service)
        self.errors += other.errors
        self.unanswered += other.unanswered
        self.due += other.due
        self.dropped += other.dropped
        _add(self.status, other.status)
        _add(self.exceptions, other.exceptions)
        _add(self.outcomes, other.outcomes)

    @classmethod
    def merged(cls, parts: Iterable[Tally]) -> Tally:
        """One tally with all of `parts`."""
        whole = cls()
        for part in parts:
            whole.add(part)
        return whole


def _add(ours: dict[str, int], theirs: Mapping[str, int]) -> None:
    for key, number in theirs.items():
        ours[key] = ours.get(key, 0) + number


def tally_window(window: Window) -> tuple[Tally, dict[str, Tally]]:
    """The sums of a window: of all its requests, and by request name in alphabetical order."""
    by_name: dict[str, Tally] = {}
    extra = Tally(length=window.length)
    for second in window.seconds:
        for name, by_status in second.cells.items():
            part = by_name.setdefault(name, Tally(length=window.length))
            for status, cell in by_status.items():
                part.add_cell(status, cell)
        for name, labels in second.outcomes.items():
            _add(by_name.setdefault(name, Tally(length=window.length)).outcomes, labels)
        _add(extra.exceptions, second.exceptions)
        extra.due += second.due
        extra.dropped += second.dropped
    whole = Tally.merged(by_name.values())
    whole.length, whole.exceptions, whole.due, whole.dropped = window.length, extra.exceptions, extra.due, extra.dropped
    return whole, dict(sorted(by_name.items()))
