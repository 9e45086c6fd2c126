"""PromQL evidence: asked over the measured window, and absent with the reason wherever Prometheus does not know it for sure.

What a query counts over `$window` is read at two edges, as Envoy's own counters are: once Prometheus has read every series concerned
after the load had drained. That takes up to one scrape interval before and after a window, and makes counts exact. A value is given
only when every series that the query names was read; an empty answer is never taken for zero.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from runner.errors import MeshError
from runner.probes.promql import Query, Selector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCRAPE_LIMIT = 65.0
"""The longest wait, in seconds, for Prometheus to read all series at an edge: a scrape interval of a minute and a little more."""

LEAST_READINGS = 2
"""How often a series must have been read within a window for a function that looks at its readings there."""

_POLL = 0.4
_PATH = "/api/v1/query?"


class _NoAnswerError(Exception):
    """Prometheus answered that it can't answer; its words."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A moment at which Prometheus had read everything.

    Attributes:
        at: by Prometheus' clock, in seconds since the epoch; None when that did not come about.
        why: the reason then.
        ahead: how far its clock is ahead of ours, in seconds.
    """

    at: float | None
    why: str = ""
    ahead: float = 0.0


@dataclass(slots=True)
class PromqlValues:
    """What the queries gave for one window.

    Attributes:
        values: by entry; None where there is none.
        absent: by entry, why not.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


class PromqlReader:
    """The entries of `collect.promql` against one Prometheus, for all trials of a run.

    Args:
        entries: queries by name.
        ask: Prometheus' answer to `GET path`; raises `MeshError` with the reason where there is none.
        where: Prometheus' name, for messages.
        limit: how long to wait for its readings at an edge, in seconds.
    """

    def __init__(
        self,
        entries: Mapping[str, str],
        ask: Callable[[str], str],
        where: Callable[[], str] = lambda: "",
        limit: float = SCRAPE_LIMIT,
    ) -> None:
        self.queries = [Query(name, text) for name, text in entries.items()]
        self._ask, self._where, self._limit = ask, where, limit
        self._never_seen: set[str] = set()

    @property
    def waits(self) -> bool:
        """Whether edges have to be waited for."""
        return any(query.counted for query in self.queries)

    def wrong(self) -> dict[str, str]:
        """What Prometheus can't parse, by entry, in its words; empty also where there is no Prometheus to ask."""
        found = {}
        for query in self.queries:
            try:
                self._query(query.tried())
            except MeshError:
                return {}
            except _NoAnswerError as error:
                if "parse error" in str(error):
                    found[query.name] = str(error)
        return found

    def edge(self, check: Callable[[], None] = lambda: None) -> Edge:
        """Wait until Prometheus has read all that is counted since now; the mesh must be at rest.

        Args:
            check: called while waiting; what it raises ends the wait.
        """
        if not self.queries:
            return Edge(None, "nothing was asked for")
        try:
            begun = time.time()
            since = self._number("time()")[1]
            ahead = since - (begun + time.time()) / 2
            if not self.waits:
                return Edge(since, "", ahead)
            return self._wait(since, ahead, check)
        except (MeshError, _NoAnswerError) as error:
            return Edge(None, self._words(error))

    def _wait(self, since: float, ahead: float, check: Callable[[], None]) -> Edge:
        readers = {one.readers: one for query in self.queries for one in query.counted}
        deadline = time.monotonic() + self._limit
        late = {text: one for text, one in readers.items() if text not in self._never_seen}
        last, now = since, since
        while True:
            for text in list(late):
                oldest, now = self._oldest(late[text])
                if oldest is not None and oldest >= since:
                    del late[text]
                    self._never_seen.discard(text)
                last = max(last, now)
            if not late:
                return Edge(math.ceil(last * 1000) / 1000, "", ahead)
            if time.monotonic() > deadline:
                break
            check()
            time.sleep(_POLL)
        text, one = next(iter(late.items()))
        oldest, now = self._oldest(one)
        if oldest is None:
            self._never_seen |= {text for text in late if self._oldest(late[text])[0] is None}
            return Edge(
                math.ceil(last * 1000) / 1000, "", ahead
            )  # it may begin within the window, which is looked at then
        return Edge(
            None,
            f"{self._name} last read {text} {now - oldest:.0f} s ago, and not again within {self._limit:.0f} s: it is asked too "
            "seldom (scrape_interval) to tell this window from what came before",
        )

    def _oldest(self, selector: Selector) -> tuple[float | None, float]:
        """When the series of a selector that was read longest ago was read, and the time now."""
        now = 0.0
        for text in dict.fromkeys((selector.readers, selector.name)):
            value, now = self._number(f"min(timestamp({text}))")
            if value is not None:
                return value, now
        return None, now

    def read(
        self, before: Edge, started: float, ended: float, check: Callable[[], None] = lambda: None
    ) -> PromqlValues:
        """What every query gives for a window that has ended; the mesh must be at rest again.

        Args:
            before: the edge before it.
            started: of the window, by our clock.
            ended: of the window.
            check: called while waiting.
        """
        found = PromqlValues(dict.fromkeys((query.name for query in self.queries), None))
        if before.at is None:
            found.absent = {query.name: before.why for query in self.queries}
            return found
        after = self.edge(check)
        for query in self.queries:
            try:
                if after.at is None:
                    raise _NoAnswerError(after.why)
                found.values[query.name] = self._value(query, before, after.at, started, ended)
            except (MeshError, _NoAnswerError) as error:
                found.absent[query.name] = self._words(error)
        return found

    def _value(self, query: Query, before: Edge, after: float, started: float, ended: float) -> float:
        start, end = started + before.ahead, ended + before.ahead
        seconds = ended - started
        text, length = query.longest()
        if length > seconds + 0.5:
            raise _NoAnswerError(
                f"its range [{text}] is longer than the window of {seconds:.1f} s, so it would take in what came before: "
                "write $window"
            )
        for one in (*query.sampled, *(query.instants if not query.counted else ())):
            self._refuse_unread(one, start, end)
        if not query.counted:
            return self._single(self._result(query.over_window(seconds, end), end))
        if before.at is None:
            raise _NoAnswerError(before.why)
        apart = round(after * 1000 - before.at * 1000) / 1000
        for one in query.counted:
            self._refuse_broken(one, apart, after)
        return self._single(self._result(query.from_edge_to_edge(apart, seconds, end), after))

    def _refuse_broken(self, one: Selector, apart: float, after: float) -> None:
        """Refuse series that can't be counted from edge to edge."""
        ago = f"offset {round(apart * 1000)}ms"
        if not self._count(one.readers, after):
            if not self._count(one.name, after):
                raise _NoAnswerError(f"{self._name} has no series of {one.name}")
        elif not self._count(f"{one.readers} {ago}", after) and not self._count(f"{one.name} {ago}", after):
            raise _NoAnswerError(
                f"{self._name} had no series of {one.name} before the window, so what they began with can't be told from what "
                "came earlier: a warm-up makes them"
            )
        if anew := self._count(f"{one.text} < ({one.text} {ago})", after):
            raise _NoAnswerError(f"{anew} of the counters {one.text} began anew within the window: something restarted")
        if gone := self._count(f"({one.text} {ago}) unless {one.text}", after):
            raise _NoAnswerError(
                f"{gone} of the series {one.text} ended within the window: something that was read is gone"
            )

    def _refuse_unread(self, one: Selector, start: float, end: float) -> None:
        """Refuse what was not read often enough within the window."""
        seconds = end - start
        if one.over is None:
            newest, _ = self._number(f"min(timestamp({one.readers}))", end)
            if newest is None:
                raise _NoAnswerError(f"{self._name} has no series of {one.readers}")
            if newest < start:
                raise _NoAnswerError(
                    f"{self._name} read {one.readers} last {start - newest:.1f} s before the window of {seconds:.1f} s began: "
                    "the window must be longer than its scrape interval"
                )
            return
        readings, _ = self._number(f"min(count_over_time({one.readers}[{round(seconds * 1000)}ms]))", end)
        if readings is None and not self._count(one.readers, end):
            raise _NoAnswerError(f"{self._name} has no series of {one.readers}")
        if (readings or 0) < LEAST_READINGS:
            times = {0: "never", 1: "once"}.get(round(readings or 0))
            raise _NoAnswerError(
                f"{self._name} read {one.readers} {times} within the window of {seconds:.1f} s, which must be longer than two of its "
                "scrape intervals"
            )

    def _single(self, result: Any) -> float:
        """The one value of an answer."""
        kind, data = result.get("resultType"), result.get("result")
        if kind == "scalar":
            value = float(data[1])
        elif kind != "vector":
            raise _NoAnswerError(f"it gives a {kind}, and a check needs one number")
        elif not data:
            raise _NoAnswerError("no series matches it; where none means zero, add `or vector(0)`")
        elif len(data) > 1:
            raise _NoAnswerError(f"it gives {len(data)} series, and a check needs one number: add them up with sum()")
        else:
            value = float(data[0]["value"][1])
        if not math.isfinite(value):
            raise _NoAnswerError(f"it gives {value}, as when nothing is divided by nothing")
        return value

    def _count(self, text: str, at: float) -> int:
        """How many series an expression has at a moment."""
        return round(self._number(f"count({text})", at)[0] or 0)

    def _number(self, text: str, at: float | None = None) -> tuple[Any, float]:
        """One number, None without one, and the moment it is of."""
        result = self._result(text, at)
        data: Any = result.get("result")
        if result.get("resultType") == "scalar":
            return float(data[1]), float(data[1])
        if not data:
            return None, at if at is not None else self._number("time()")[1]
        return float(data[0]["value"][1]), float(data[0]["value"][0])

    def _result(self, text: str, at: float | None = None) -> dict[str, Any]:
        return self._query(text, at)

    def _query(self, text: str, at: float | None = None) -> dict[str, Any]:
        """The data of an instant query's answer.

        Raises:
            MeshError: Prometheus can't be asked.
            _NoAnswerError: it refuses the query.
        """
        answer = self._ask(_PATH + urlencode({"query": text} | ({"time": f"{at:.3f}"} if at is not None else {})))
        try:
            found = json.loads(answer)
            if found["status"] != "success":
                raise _NoAnswerError(str(found.get("error") or found.get("errorType") or "an error without words"))
            return dict(found["data"])
        except (ValueError, KeyError, TypeError):
            raise _NoAnswerError(f"{self._name} answers {answer.strip()[:200] or 'nothing'}") from None

    @property
    def _name(self) -> str:
        where = self._where()
        return f"Prometheus at {where}" if where else "Prometheus"

    @staticmethod
    def _words(error: MeshError | _NoAnswerError) -> str:
        return error.what if isinstance(error, MeshError) else str(error)
