"""SIGINT and SIGTERM as a wish to stop, noticed between steps, so that everything is restored first."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from runner.errors import StoppedError

if TYPE_CHECKING:
    from types import FrameType, TracebackType


class Stopping:
    """Context in which SIGINT and SIGTERM set `event` instead of ending the process.

    Outside the main thread, where Python can't handle signals, it only carries the event.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signal_number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.signal_number is None:
            self.signal_number = number
        self.event.set()

    def check(self) -> None:
        """Go on, or not.

        Raises:
            StoppedError: a signal came.
        """
        if self.signal_number is not None:
            raise StoppedError(self.signal_number)
