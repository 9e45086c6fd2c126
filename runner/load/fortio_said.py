"""What fortio says on standard error and in no result: why requests had no response, and whether it kept its pace."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from runner.load.fortio_log import UNANSWERED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.results.window import Second

_BEHIND = re.compile(r"WARNING ([\d.]+)% of sleep were falling behind")
_ERRORS = frozenset({"err", "crit", "fatal"})
_NO_FLAGS = "Unable to watch config"
_UNNAMED = "no response"


class Said:
    """fortio's words on one run, line by line.

    Attributes:
        behind: share of its waits that should have been over before they began; fortio tells from 5 % on.
        unread: why it could not read an option from a file; empty when it could.
    """

    def __init__(self) -> None:
        self.behind = 0.0
        self.unread = ""
        self._reasons: list[str] = []

    def line(self, text: str) -> None:
        """Take in one line."""
        if found := _BEHIND.search(text):
            self.behind = float(found[1]) / 100
        if not text.startswith("{"):
            return
        try:
            entry = json.loads(text)
        except ValueError:
            return
        if entry.get("level") not in _ERRORS:
            return
        message = str(entry.get("err") or entry.get("msg") or "")
        if _NO_FLAGS in str(entry.get("msg")):
            self.unread = message
        self._reasons.append(message.rpartition(": ")[2] or _UNNAMED)

    def name_exceptions(self, seconds: Iterable[Second]) -> None:
        """Say why requests had no response, where the seconds do not say it yet.

        The first reasons may be of the requests that open the connections, which are in no second: the last ones count.
        """
        wanting = [(second, _unanswered(second) - sum(second.exceptions.values())) for second in seconds]
        total = sum(number for _, number in wanting)
        reasons = self._reasons[-total:] if total else []
        reasons += [_UNNAMED] * (total - len(reasons))
        at = 0
        for second, number in wanting:
            for reason in reasons[at : at + number]:
                second.exceptions[reason] = second.exceptions.get(reason, 0) + 1
            at += number


def _unanswered(second: Second) -> int:
    return sum(by_status[UNANSWERED].unanswered for by_status in second.cells.values() if UNANSWERED in by_status)
