"""An alarm clock that rings on time.

gevent's own timers are epoll's timeouts, which count whole milliseconds and ring up to one too late (0.7 to 0.9 ms in
the median); a timerfd is a file that becomes readable at an absolute moment, with the kernel's high-resolution timers
behind it. Where there is none, gevent's timer serves.
"""

from __future__ import annotations

import ctypes
import os
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gevent.hub import get_hub

if TYPE_CHECKING:
    from collections.abc import Callable

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("value", _Timespec)]


class Alarm:
    """Calls `ring` in the hub at the moment that was set; `ring` must not block."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = get_hub().loop
        self._timer: Any = None
        self._fd = -1
        if sys.platform.startswith("linux"):
            self._libc = ctypes.CDLL(None, use_errno=True)
            self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd >= 0:
            self._watcher = self._loop.io(self._fd, 1)
            self._watcher.start(self._readable)

    def _readable(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # set anew since it rang
            return
        self._ring()

    def set(self, moment: float) -> None:
        """Ring at `moment` (of `perf_counter`, in seconds) and at no moment set before; at once when it is past."""
        if self._fd >= 0:
            nanoseconds = max(1, int(moment * 1e9))
            value = _Timespec(*divmod(nanoseconds, 1_000_000_000))
            self._libc.timerfd_settime(
                self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(_Itimerspec(_Timespec(0, 0), value)), None
            )
            return
        self._cancel_timer()
        self._timer = self._loop.timer(max(0.0, moment - perf_counter()))
        self._timer.start(self._ring)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def close(self) -> None:
        """Never ring again."""
        self._cancel_timer()
        if self._fd >= 0:
            self._watcher.stop()
            self._watcher.close()
            os.close(self._fd)
            self._fd = -1
