"""The lines of one window out of a proxy's access log, found by halving, since a log may be far larger than its window."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_STEP = 1 << 16


def lines_between(log: Path, since: float, until: float) -> list[str]:
    """The lines that began between two wall-clock times (seconds since the epoch).

    Envoy writes a line when its request has ended, under the time when it began, so a line may stand after later ones: reading starts
    a little before the first line of the window, and ends at the end of the file. A log that is not there has no lines.
    """
    try:
        with log.open("rb") as file:
            file.seek(_start(file, since))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        moment = _moment(line)
        if moment is not None and since <= moment <= until:
            found.append(line)
    return found


def _start(file: BinaryIO, since: float) -> int:
    """The offset of a line before which, but for one step, every line began before `since`."""
    low, high = 0, file.seek(0, 2)
    while high - low > _STEP:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        moment = _moment(file.readline().decode("utf-8", "replace"))
        if moment is not None and moment < since:
            low = middle
        else:
            high = middle
    start = max(0, low - _STEP)
    file.seek(start)
    if start:
        file.readline()
    return file.tell()


def _moment(line: str) -> float | None:
    try:
        return datetime.fromisoformat(line[1 : line.index("]")]).timestamp()
    except ValueError:
        return None
