"""The seconds of a window while it lasts, those of the past packed, because a load may last for hours.

A second of a mixed load takes some 16 kB as objects and under 1 kB packed; the driver's process holds one for every second of load.
"""

from __future__ import annotations

import json
import zlib

from runner.results.window import Second

_LOOSE = 15
"""How many seconds stay as objects: answers that come later than this find their second packed, which costs time and nothing else."""


class Shelf:
    """Seconds by offset: the latest as objects, the others packed."""

    def __init__(self) -> None:
        self._loose: dict[int, Second] = {}
        self._packed: dict[int, bytes] = {}

    def at(self, offset: int) -> Second:
        """The second of an offset, to be added to at once; made when it is not there yet.

        What it gives stays valid until the next call.
        """
        second = self._loose.pop(offset, None)
        if second is None:
            packed = self._packed.pop(offset, None)
            second = Second(offset) if packed is None else _unpacked(packed)
        self._loose[offset] = second  # the last in the order of use
        while len(self._loose) > _LOOSE:
            oldest = next(iter(self._loose))
            self._packed[oldest] = _pack(self._loose.pop(oldest))
        return second

    def first(self, number: int) -> list[Second]:
        """The seconds of the offsets below `number`, in order, without gaps."""
        return [
            self._loose[offset]
            if offset in self._loose
            else _unpacked(self._packed[offset])
            if offset in self._packed
            else Second(offset)
            for offset in range(number)
        ]

    def end(self) -> int:
        """One more than the greatest offset; 0 without any."""
        return max([*self._loose, *self._packed], default=-1) + 1


def _pack(second: Second) -> bytes:
    return zlib.compress(json.dumps(second.to_json(), separators=(",", ":")).encode())


def _unpacked(packed: bytes) -> Second:
    return Second.from_json(json.loads(zlib.decompress(packed)))
