"""What a run tells whoever watches it: the command line shows it live, tests and quiet runs ignore it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from runner.results.document.trial import TrialRecord
    from runner.results.window import Second


@dataclass(frozen=True, slots=True)
class Step:
    """Where a run is.

    Attributes:
        phase: `apply`, `warm up`, `measure`, `collect` or `restore`.
        variant: the variant's name.
        block: from 1.
        blocks: how many there will be.
        trial: from 1, over the whole run.
        trials: how many there will be, repeated blocks not counted.
        seconds: how long this phase will take, 0 when that is not known.
        left: seconds that the rest of the run will take, as far as is known.
    """

    phase: str
    variant: str
    block: int
    blocks: int
    trial: int
    trials: int
    seconds: float
    left: float


class Progress(Protocol):
    """Told of everything that happens; must return quickly."""

    def message(self, text: str) -> None:
        """Something worth a line: a mesh that was joined, a warning."""
        ...

    def step(self, step: Step) -> None:
        """A phase begins."""
        ...

    def second(self, second: Second) -> None:
        """A second of load is over."""
        ...

    def trial(self, record: TrialRecord) -> None:
        """A trial is over."""
        ...

    def stopping(self, signal_number: int) -> None:
        """A signal came, and what was changed is restored now; called from the signal's handler: must not print."""
        ...


class Silent:
    """A watcher that shows nothing."""

    def message(self, text: str) -> None:
        """Ignore it."""

    def step(self, step: Step) -> None:
        """Ignore it."""

    def second(self, second: Second) -> None:
        """Ignore it."""

    def trial(self, record: TrialRecord) -> None:
        """Ignore it."""

    def stopping(self, signal_number: int) -> None:
        """Ignore it."""
