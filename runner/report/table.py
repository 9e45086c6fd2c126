"""Tables as data: what every section hands to the one template that draws tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Tone = Literal["", "good", "bad", "unsure", "muted"]
"""What a cell's colour says; the cell's words or symbol always say it too."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        text: what it says.
        sub: a second, quieter line: an interval, a share.
        tone: see `Tone`.
        symbol: a sign before the text that says what the tone says.
        bar: a share from 0 to 1, drawn as a thin bar under the text.
        code: whether this is a name from a config or a program.
        href: where the text leads to, when it is a link.
    """

    text: str
    sub: str = ""
    tone: Tone = ""
    symbol: str = ""
    bar: float | None = None
    code: bool = False
    href: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column's head; `series` is the place of the variant that the column is about, which gives its mark."""

    title: str
    number: bool = False
    sub: str = ""
    series: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row; the first cell is its head. `tone` lays emphasis on, or takes it from, the whole row."""

    cells: list[Cell]
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under a heading of their own; no heading when `title` is empty."""

    rows: list[Row]
    title: str = ""
    note: str = ""
    code: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A whole table.

    Attributes:
        caption: what the table is, for everybody; screen readers get it as its name.
        columns: heads, the first one of the row heads.
        groups: in order.
        note: what was left out, or how to read it.
    """

    caption: str
    columns: list[Column]
    groups: list[Group] = field(default_factory=list)
    note: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is no row to show."""
        return not any(group.rows for group in self.groups)


def simple(caption: str, columns: list[Column], rows: list[Row], note: str = "") -> Table:
    """A table of one group without a heading."""
    return Table(caption, columns, [Group(rows)], note)
