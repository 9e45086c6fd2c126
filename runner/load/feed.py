"""Rows of data for a loadfile: each process of a run takes its own, every window begins anew, and equal seeds give equal rows.

    from runner.load.feed import Feed

    books = Feed.csv(Path(__file__).with_name("books.csv"))

    class Reader(FastHttpUser):
        def on_start(self):
            self.account = accounts.next_for_user()     # a row that this user keeps
        @task
        def read(self):
            self.client.get(f"/books/{books.next()['id']}", name="/books/:id")

A window's n-th arrival gets the n-th row whoever sends it: of several processes each takes every n-th row, as it does with arrivals.
Neither Locust nor anything else of the driver is imported, so a loadfile that uses this runs in plain Locust too (where every process
reads all rows).
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = TypeVar("Row")


@dataclass(slots=True)
class _Share:
    """Which rows this process takes, and of which window."""

    window: int = 0
    seed: int = 0
    index: int = 0
    of: int = 1


_share = _Share()


def begin_window(seed: int, index: int, of: int) -> None:
    """A new window: every feed of this process begins anew. Called by the driver.

    Args:
        seed: of the window.
        index: which of the `of` processes that share the load this one is, from 0.
        of: how many they are.
    """
    _share.window += 1
    _share.seed, _share.index, _share.of = seed, index, of


class Feed(Generic[Row]):
    """Rows that are handed out one by one, from the first again after the last."""

    def __init__(self, rows: Sequence[Row], *, shuffled: bool = False) -> None:
        """Make a feed.

        Args:
            rows: what to hand out.
            shuffled: in an order that the window's seed decides (the same for all variants of a block) instead of the rows' own.

        Raises:
            ValueError: there are no rows.
        """
        if not rows:
            raise ValueError("a feed needs at least one row")
        self._rows = rows
        self._shuffled = shuffled
        self._order: Sequence[int] = range(len(rows))
        self._window = -1
        self._taken = 0
        self._given = 0

    @classmethod
    def csv(cls, path: Path | str, *, shuffled: bool = False, delimiter: str = ",") -> Feed[dict[str, str]]:
        """The rows of a CSV file by the names in its first line.

        Args:
            path: the file; UTF-8, with or without a byte order mark.
            shuffled: as for `Feed`.
            delimiter: between two values.

        Raises:
            ValueError: a row is longer or shorter than the first line, or there is none.
            OSError: it can't be read.
        """
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, restkey="", restval=None)
            rows = []
            for row in reader:
                if "" in row or None in row.values():
                    raise ValueError(f"{path}:{reader.line_num}: this row has more or fewer values than the first line")
                rows.append(row)
        if not rows:
            raise ValueError(f"{path}: no rows below a first line with their names")
        return Feed(rows, shuffled=shuffled)

    def __len__(self) -> int:
        return len(self._rows)

    def next(self) -> Row:
        """The next row of this window that is this process's, for a task."""
        if self._window != _share.window:
            self._window, self._taken = _share.window, 0
            if self._shuffled:
                self._order = random.Random(_share.seed).sample(range(len(self._rows)), len(self._rows))  # noqa: S311 - no secret
        place = self._taken * _share.of + _share.index
        self._taken += 1
        return self._rows[self._order[place % len(self._rows)]]

    def next_for_user(self) -> Row:
        """The next row of the whole run that is this process's, for a user who keeps it: call it in `on_start`.

        Users outlive windows, so this goes on where the last one was; with fewer rows than users, rows come again.
        """
        place = self._given * _share.of + _share.index
        self._given += 1
        return self._rows[place % len(self._rows)]
