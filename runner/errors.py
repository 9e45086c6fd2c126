"""The one error tree, so that every failure ends in a sentence and a documented exit code.

    MeshtrialError
      + InputError        (2)  what the user wrote is wrong; nothing was started
      + OutsideError      (3)  a mesh, a port, a disk or a driver could not do its part
        - MeshError
          . ConfigRejectedError   a proxy refused what it was given
        - DriverError
        - StorageError
      + StoppedError      (130, 143)  a signal ended the run, everything was restored

Verdicts (fail 1, aborted 4, inconclusive 5) are results, not errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file the user wrote: line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes:
        message: what is wrong, in a sentence without a final stop.
        where: the place in the user's file, when there is one.
        expected: what would have been right.
        suggestion: what the user probably meant, or should do.
    """

    message: str
    where: Position | None = None
    expected: str | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        if self.expected:
            text += f"; expected {self.expected}"
        if self.suggestion:
            text += f". {self.suggestion}"
        return text


class MeshtrialError(Exception):
    """Anything that ends a command early; `exit_code` is what the process returns."""

    exit_code = 3


class InputError(MeshtrialError):
    """What the user wrote can't be used: every problem found, each with its place."""

    exit_code = 2

    def __init__(self, problems: Problem | Sequence[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class OutsideError(MeshtrialError):
    """Something outside this program failed.

    Attributes:
        what: what failed.
        restored: what was put back, when anything had been changed.
        advice: what to do next.
    """

    def __init__(self, what: str, *, restored: str | None = None, advice: str | None = None) -> None:
        self.what = what
        self.restored = restored
        self.advice = advice
        super().__init__(what)

    def __str__(self) -> str:
        return ". ".join(part.rstrip(".") for part in (self.what, self.restored, self.advice) if part)


class MeshError(OutsideError):
    """The mesh could not do its part."""


class ConfigRejectedError(MeshError):
    """A proxy refused a config: Envoy's own words, beside the manifest that caused it."""


class DriverError(OutsideError):
    """The load generator could not do its part."""


class StorageError(OutsideError):
    """The results folder or the journal could not be written."""


class StoppedError(MeshtrialError):
    """A signal ended the run; `signal_number` is 2 (SIGINT), 15 (SIGTERM) or 1 (SIGHUP: the terminal is gone)."""

    def __init__(self, signal_number: int, restored: str | None = None) -> None:
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
        name = {1: "SIGHUP", 2: "SIGINT", 15: "SIGTERM"}.get(signal_number, f"signal {signal_number}")
        super().__init__(f"stopped by {name}" + (f"; {restored}" if restored else ""))
