"""Requests become per-second cells of one window: the hot path, two microseconds per request.

A request is attributed to the task that sent it through gevent's spawn-tree locals, which greenlets inherit from the
greenlet that spawned them: so requests that a task sends from greenlets of its own count for its arrival too, and
whatever belongs to no task is told apart. Latencies are kept as plain lists within a second and counted when it is
sent.
"""

from __future__ import annotations

from collections import Counter
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

import gevent
from gevent import getcurrent

from runner.load.wire import Part, Tick
from runner.results.histogram import Histogram, bucket_of
from runner.results.window import Cell, Second

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.load.child.link import Link
    from runner.load.child.worker_link import WorkerLink

SEAT = "meshtrial_seat"
"""The key of a user's seat in the spawn-tree locals of its greenlets."""
WORK = "meshtrial_work"
"""The key of a task's `Work` in the spawn-tree locals of its greenlets."""
_NO_RESPONSE = "0"
_NOT_HTTP = "ok"
"""The status of a request that succeeded in a protocol without status codes."""
_BROKEN_OFF = frozenset({"HTTPConnectionClosed", "HTTPParseError", "RetriesExceeded"})
"""FastHttpUser's exceptions, besides `OSError`s, for a response that did not come whole."""
_MOST_DESCRIPTIONS = 100
"""Different user errors that are kept apart; the rest is counted together."""


class Work:
    """One task under way.

    Attributes:
        recorder: of the window that it belongs to.
        due: when it was due, of `perf_counter`; None in a closed loop.
        begun: when its user took it up.
        requests: how many of its requests have ended.
        locals: the spawn-tree locals of its greenlets; complete once it has a user.
    """

    __slots__ = ("_carried", "begun", "due", "locals", "recorder", "requests")

    def __init__(self, recorder: Recorder, due: float | None) -> None:
        self.recorder = recorder
        self.due = due
        self.locals: dict[str, Any] = {WORK: self}
        self.begun = 0.0
        self.requests = 0
        self._carried = 0

    def may_be_carried(self, most: int) -> bool:
        """Whether it goes on to the user's next task: nothing was sent, at most `most` times in a row."""
        self._carried += 1
        return not self.requests and self._carried <= most


class _Tally:
    """A cell in the making: latencies in µs as they came."""

    __slots__ = ("errors", "response", "service", "unanswered")

    def __init__(self) -> None:
        self.response: list[int] = []
        self.service: list[int] = []
        self.errors = 0
        self.unanswered = 0

    def cell(self) -> Cell:
        """The same as histograms; in a closed loop, where both are the same, `response` was left empty."""
        service = counted(self.service)
        response = counted(self.response) if self.response else service
        return Cell(response=response, service=service, errors=self.errors, unanswered=self.unanswered)


def counted(values: list[int]) -> Histogram:
    """The histogram of durations in µs."""
    histogram = Histogram()
    if not values:
        return histogram
    counts = histogram.counts
    for value, number in Counter(values).items():
        lower = bucket_of(value)
        counts[lower] = counts.get(lower, 0) + number
    histogram.count, histogram.total = len(values), sum(values)
    histogram.least, histogram.greatest = min(values), max(values)
    return histogram


def _status_of_failure(response: Any, exception: BaseException) -> tuple[int | str, bool]:
    """The status of a failed request, and whether it was answered: not, too, when the response broke off."""
    status = getattr(response, "status_code", None)
    # HttpUser's exceptions are OSErrors too, but carry the response that they complain about.
    broken_off = isinstance(exception, OSError) and not hasattr(exception, "response")
    if not status or broken_off or type(exception).__name__ in _BROKEN_OFF:
        return _NO_RESPONSE, False
    return status, True


class Recorder:
    """What one window's requests were, kept until it is sent to the driver second by second."""

    def __init__(self, window: int, start: float, seconds: float, *, open_loop: bool) -> None:
        self.window = window
        self.start = start
        self.last = max(0, int(-(-seconds // 1)) - 1)
        self.unmeasured = 0
        self.user_errors: dict[str, int] = {}
        self._open_loop = open_loop
        self._tallies: dict[tuple[int, str, Any], _Tally] = {}
        self._lags: dict[int, list[int]] = {}
        self._fresh: dict[int, Second] = {}
        self._wall = time() - perf_counter()

    def _offset(self, moment: float) -> int:
        return min(max(int(moment - self.start), 0), self.last)

    def _second(self, offset: int) -> Second:
        second = self._fresh.get(offset)
        if second is None:
            second = self._fresh[offset] = Second(offset)
        return second

    def due(self, moment: float) -> None:
        """An arrival was due."""
        self._second(self._offset(moment)).due += 1

    def drop(self, moment: float) -> None:
        """The arrival that was due at `moment` is not sent."""
        self._second(self._offset(moment)).dropped += 1

    def on_request(  # noqa: C901, PLR0912 - the hot path
        self,
        name: str,
        response_time: float | None,
        response: Any = None,
        exception: BaseException | None = None,
        context: Mapping[str, Any] | None = None,
        start_time: float | None = None,
        request_type: str = "",  # noqa: ARG002 - named, with the next two, so that they make no dictionary
        response_length: int = 0,  # noqa: ARG002
        url: str | None = None,  # noqa: ARG002
        **_others: Any,
    ) -> None:
        """Take one of Locust's `request` events; the arguments are its own."""
        tree = getattr(getcurrent(), "spawn_tree_locals", None)
        work = tree.get(WORK) if tree else None
        if work is None or work.recorder is not self:
            self.unmeasured += 1
            return
        now = perf_counter()
        service = now - work.begun if response_time is None else response_time / 1000
        # Locust tells the start by the wall clock, which may have been stepped since: what is certain bounds it.
        sent = now - service
        if start_time is not None:
            told = start_time - self._wall
            if told < sent:
                sent = max(told, work.begun)
        due = work.due
        first = due is not None and not work.requests
        work.requests += 1
        offset = int((due if first else sent) - self.start)
        if not 0 <= offset <= self.last:
            offset = 0 if offset < 0 else self.last

        if exception is None:
            status = getattr(response, "status_code", _NOT_HTTP)
            answered = status != 0
        else:
            status, answered = _status_of_failure(response, exception)
        key = (offset, name, status)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally()
        if answered:
            tally.service.append(int(service * 1e6))
            if self._open_loop:
                tally.response.append(max(0, int((sent + service - due if first else service) * 1e6)))
        else:
            tally.unanswered += 1
        if first:
            lags = self._lags.get(offset)
            if lags is None:
                lags = self._lags[offset] = []
            lags.append(max(0, int((sent - due) * 1e6)))
        if exception is not None:
            self._failed(tally, offset, exception, answered=answered)
        if context and "outcome" in context:
            self._outcome(offset, name, context["outcome"])

    def _failed(self, tally: _Tally, offset: int, exception: BaseException, *, answered: bool) -> None:
        tally.errors += 1
        if not answered:
            kinds = self._second(offset).exceptions
            kind = type(exception).__name__
            kinds[kind] = kinds.get(kind, 0) + 1

    def _outcome(self, offset: int, name: str, outcome: Any) -> None:
        labels = self._second(offset).outcomes.setdefault(name, {})
        for label in (outcome,) if isinstance(outcome, str) else outcome or ():
            labels[str(label)] = labels.get(str(label), 0) + 1

    def user_error(self, description: str) -> None:
        """A task, `on_start` or the making of a user raised."""
        if description not in self.user_errors and len(self.user_errors) >= _MOST_DESCRIPTIONS:
            description = "others"
        self.user_errors[description] = self.user_errors.get(description, 0) + 1

    def flush(self, link: Link | WorkerLink, offset: int | None, in_flight: int) -> None:
        """Send what is new, cell by cell so that no arrival waits for long.

        Args:
            link: to the driver.
            offset: the second that is over, if one is.
            in_flight: tasks under way.
        """
        fresh, self._fresh = self._fresh, {}
        tallies, self._tallies = self._tallies, {}
        lags, self._lags = self._lags, {}
        self._wall = time() - perf_counter()
        for second in fresh.values():
            link.send(Part(self.window, second))
        for (at, name, status), tally in tallies.items():
            gevent.sleep(0)
            link.send(Part(self.window, Second(at, cells={name: {str(status): tally.cell()}})))
        for at, values in lags.items():
            gevent.sleep(0)
            link.send(Part(self.window, Second(at, lag=counted(values))))
        if offset is not None:
            link.send(Tick(self.window, offset, in_flight))


class RequestListener:
    """Locust's `request` event, led to the window under way."""

    def __init__(self, event: Any) -> None:
        self._event = event
        self._current: Recorder | None = None

    def follow(self, recorder: Recorder | None) -> None:
        """Lead requests to this window's recorder, and no longer to the last one's."""
        if self._current is not None:
            self._event.remove_listener(self._current.on_request)
        if recorder is not None:
            self._event.add_listener(recorder.on_request)
        self._current = recorder
