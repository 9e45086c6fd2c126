"""SIGINT and SIGTERM as a wish to stop, noticed between steps, so that everything is restored first."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from runner.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType


class Stopping:
    """Context in which SIGINT, SIGTERM and SIGHUP (the terminal is gone) set `event` instead of ending the process.

    Outside the main thread, where Python can't handle signals, it only carries the event. A SIGHUP that is ignored (`nohup`)
    stays ignored.

    Attributes:
        event: set by a signal, or by whoever wants the load to end.
        signal_number: of the first signal, None before.
        told: called with the number of the first signal, from its handler; must not print.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signal_number: int | None = None
        self.told: Callable[[int], None] | None = None
        self._before: dict[int, Any] = {}
        self._at_once = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        first = self.signal_number is None
        if first:
            self.signal_number = number
            if self.told:
                self.told(number)
        self.event.set()
        if first and self._at_once:
            self.check()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, the first signal raises where the main thread is: for waits that change nothing yet.

        Raises:
            StoppedError: a signal came.
        """
        self._at_once = True
        try:
            self.check()
            yield
        finally:
            self._at_once = False

    def calm(self) -> None:
        """Forget that the load was ended by a guardrail, but never a signal: for the next run of several."""
        self.event.clear()
        if self.signal_number is not None:
            self.event.set()

    def check(self) -> None:
        """Go on, or not.

        Raises:
            StoppedError: a signal came.
        """
        if self.signal_number is not None:
            raise StoppedError(self.signal_number)
