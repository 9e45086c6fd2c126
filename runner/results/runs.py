"""Which runs a results folder holds, for `meshtrial list`: quick, never stopped by a broken or half-made folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.results.document.run import Verdict
from runner.results.store import DID_NOT_FINISH, LOG_FILE, RUN_FILE, TRIALS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEPTH = 4
"""How deep under the results folder a run may lie: `<suite>/<experiment>/<run>` and one more."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of `meshtrial list`.

    Attributes:
        path: the run folder.
        experiment: its name.
        verdict: of the run; `error` for a folder that can't be read.
        reason: why, in one sentence.
        started: RFC 3339 UTC; empty when unknown.
        ended: the same; empty for a run that did not finish.
        headline: the answer in one sentence; empty when there is none.
    """

    path: Path
    experiment: str
    verdict: Verdict
    reason: str
    started: str = ""
    ended: str = ""
    headline: str = ""


def find_runs(root: Path) -> list[RunSummary]:
    """Every run under `root` (a results folder, an experiment's folder in it, or a run folder), the oldest first."""
    return sorted((_summary(path) for path in _run_folders(root, 0)), key=lambda run: (run.path.name, str(run.path)))


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    try:
        is_run = (folder / RUN_FILE).exists() or (folder / LOG_FILE).exists() or (folder / TRIALS).is_dir()
        inside = [] if is_run or depth == _DEPTH else sorted(folder.iterdir())
        children = [child for child in inside if child.is_dir() and not child.is_symlink()]
    except OSError:  # somebody else's, or gone meanwhile
        return
    if is_run:
        yield folder
    for child in children:
        yield from _run_folders(child, depth + 1)


def _summary(path: Path) -> RunSummary:
    try:
        data = json.loads((path / RUN_FILE).read_bytes())
    except FileNotFoundError:
        return _broken(path, f"{DID_NOT_FINISH}: there is no {RUN_FILE}")
    except (OSError, ValueError) as error:
        return _broken(path, f"{RUN_FILE} can't be read: {error}")
    if not isinstance(data, dict):
        return _broken(path, f"{RUN_FILE} is no run document")
    try:
        verdict = Verdict(data.get("verdict", ""))
    except ValueError:
        return _broken(path, f"{RUN_FILE} has no known verdict")
    return RunSummary(
        path=path,
        experiment=str(data.get("experiment") or path.parent.name),
        verdict=verdict,
        reason=str(data.get("reason") or ""),
        started=str(data.get("started") or ""),
        ended=str(data.get("ended") or ""),
        headline=str(data.get("headline") or ""),
    )


def _broken(path: Path, reason: str) -> RunSummary:
    return RunSummary(path=path, experiment=path.parent.name, verdict=Verdict.ERROR, reason=reason)
