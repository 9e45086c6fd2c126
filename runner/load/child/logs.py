"""A bound on what Locust logs: a task that fails a thousand times a second would fill a disk."""

from __future__ import annotations

import logging
from time import monotonic

_PER_SECOND = 50


class Ration(logging.Filter):
    """Lets fifty records a second through, and says how many it kept back."""

    def __init__(self) -> None:
        super().__init__()
        self._second = 0
        self._seen = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        second = int(monotonic())
        if second != self._second:
            kept_back = self._seen - _PER_SECOND
            self._second, self._seen = second, 0
            if kept_back > 0:
                record.msg, record.args = f"({kept_back} messages were left out) {record.getMessage()}", ()
        self._seen += 1
        return self._seen <= _PER_SECOND


def ration() -> None:
    """Put the bound on what the root logger and Locust's write to a stream."""
    for name in ("", "locust"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler) and not any(
                isinstance(one, Ration) for one in handler.filters
            ):
                handler.addFilter(Ration())
