"""What istiod did, and what proxies and applications used: one small table, medians over the trials that count."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from runner.report import chart_data, words
from runner.report.table import Cell, Group, Row, Table
from runner.report.variants import columns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.results.document.evidence import PartUsage
    from runner.results.document.run import RunDocument
    from runner.results.trial import TrialFile

Trials = dict[str, list["TrialFile"]]
"""By variant, the files of the trials that count."""


def resources(document: RunDocument, trial_files: Sequence[TrialFile]) -> Table | None:
    """The table; None when nothing of it is known.

    Args:
        document: the run.
        trial_files: the trials' own files; those that are missing are missing here.
    """
    counting = {
        (trial.variant, trial.block, trial.attempt)
        for variant in document.variants
        for trial in variant.trials
        if trial.valid and not trial.superseded
    }
    trials: Trials = {
        variant.name: [
            file for file in trial_files if file.variant == variant.name and chart_data.key(file) in counting
        ]
        for variant in document.variants
    }
    groups = [
        Group(
            [
                _row(
                    "Pushes to apply the variant", "of all types, to all proxies", trials, _pushes_applying, words.count
                ),
                _row("Mean time of these pushes", "from the change to the proxy", trials, _convergence, words.latency),
                _row("Pushes in the window", "should be few: each may change a config", trials, _pushes, words.count),
                _row("Rejected pushes in the window", "by any proxy of the cluster", trials, _rejects, words.count),
            ],
            "istiod",
        ),
        Group(
            [
                _row("Proxies, CPU", "", trials, lambda file: _cores(file, "proxy"), _cores_text, "proxy"),
                _row("Proxies, memory", "", trials, lambda file: _memory(file, "proxy"), _memory_text),
                _row("Applications, CPU", "", trials, lambda file: _cores(file, "app"), _cores_text, "app"),
                _row("Applications, memory", "", trials, lambda file: _memory(file, "app"), _memory_text),
            ],
            "CPU and memory",
            "all of them together; the busiest one below",
        ),
    ]
    known = [Group([row for row in group.rows if _says(row)], group.title, group.note) for group in groups]
    known = [group for group in known if group.rows]
    if not known:
        return None
    return Table("Control plane and resources, median of the trials", columns(document.variants, "Figure"), known)


def _says(row: Row) -> bool:
    return any(cell.text != words.NONE for cell in row.cells[1:])


def _row(
    title: str,
    sub: str,
    trials: Trials,
    figure: Callable[[TrialFile], float | None],
    text: Callable[[float], str],
    part: str = "",
) -> Row:
    cells = [Cell(title, sub=sub)]
    for files in trials.values():
        values = [value for file in files if (value := figure(file)) is not None]
        if not values:
            cells.append(Cell(words.NONE, tone="muted"))
            continue
        cells.append(Cell(text(median(values)), sub=_busiest(files, part) if part else ""))
    return Row(cells)


def _pushes_applying(file: TrialFile) -> float | None:
    return sum(file.applying.pushes.values()) if file.applying else None


def _convergence(file: TrialFile) -> float | None:
    return file.applying.convergence_ms if file.applying else None


def _pushes(file: TrialFile) -> float | None:
    return sum(file.control_plane.pushes.values()) if file.control_plane else None


def _rejects(file: TrialFile) -> float | None:
    return file.control_plane.rejects if file.control_plane else None


def _of(file: TrialFile, part: str) -> list[PartUsage]:
    return [usage for usage in file.usage if usage.part == part]


def _cores(file: TrialFile, part: str) -> float | None:
    values = [usage.cores for usage in _of(file, part)]
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _memory(file: TrialFile, part: str) -> float | None:
    values = [usage.memory_mb for usage in _of(file, part)]
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _busiest(files: Sequence[TrialFile], part: str) -> str:
    by_workload: dict[str, list[float]] = {}
    for file in files:
        for usage in _of(file, part):
            if usage.cores is not None:
                by_workload.setdefault(usage.workload, []).append(usage.cores)
    if not by_workload:
        return ""
    name, values = max(by_workload.items(), key=lambda item: median(item[1]))
    return f"{name} {_cores_text(median(values))}"


def _cores_text(value: float) -> str:
    return f"{words.digits(value, 2)} cores"


def _memory_text(value: float) -> str:
    return f"{value:,.0f} MB"
