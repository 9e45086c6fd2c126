"""Files that an experiment names: resolved against the experiment file, and missed where they are named."""

from __future__ import annotations

import difflib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import Position, Problem

if TYPE_CHECKING:
    from runner.spec.templates import Findings


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of the experiment file, against which its paths are read."""

    path: Path
    findings: Findings

    def file(self, written: str | Path, where: Position, what: str) -> Path:
        """The file that `written` names; one that is not there, or no file, goes to `findings`.

        Args:
            written: the path as the user wrote it.
            where: its place.
            what: what it should be, such as "a manifest".
        """
        joined = self.path / written
        tidy = Path(os.path.normpath(joined))
        try:
            found = tidy if tidy.exists() or not joined.exists() else joined  # `..` after a symbolic link
            if found.is_file():
                return found
            exists = found.exists()
        except (OSError, ValueError) as error:
            self.findings.add(Problem(f"{str(written)!r}: {error}", where, what))
            return tidy
        if exists:
            self.findings.add(Problem(f"{found} is no file", where, what))
        else:
            self.findings.add(Problem(f"{found}: no such file", where, what, self._meant(written, found)))
        return found

    def _meant(self, written: str | Path, found: Path) -> str | None:
        if Path(written).is_file():
            return f"Paths are relative to the experiment file's folder ({self.path})"
        try:
            names = [entry.name for entry in found.parent.iterdir()]
        except OSError:
            names = []
        near = difflib.get_close_matches(found.name, names, n=1)
        return f'Did you mean "{Path(written).parent / near[0]}"?' if near else None


def check_python(file: Path, where: Position, findings: Findings) -> None:
    """Find out without running it whether a loadfile is Python; a mistake goes to `findings`, at its own place in the loadfile.

    Args:
        file: the loadfile.
        where: the place that names it.
        findings: where problems go.
    """
    if not file.is_file():
        return  # told already
    if file.suffix != ".py":
        findings.add(Problem(f"the load file {file} is no Python file", where, "a file whose name ends in .py"))
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    except SyntaxError as error:
        place = Position(str(file), error.lineno or 1, max(1, error.offset or 1))
        findings.add(Problem(f"the load file is not Python: {error.msg}", place))
    except (OSError, ValueError, RecursionError) as error:
        findings.add(Problem(f"the load file {file} can't be read: {error}", where))
