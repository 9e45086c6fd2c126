"""Live progress on standard error: a line that changes on a terminal, one line for each trial everywhere else."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from math import ceil
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from runner.results.histogram import Histogram
from runner.units import format_duration, format_share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.conduct.progress import Step
    from runner.results.document.trial import TrialRecord
    from runner.results.window import Second


class ConsoleProgress:
    """Shows a run on a console."""

    def __init__(self, console: Console, experiment: str) -> None:
        self.console = console
        self._experiment = experiment
        self._step: Step | None = None
        self._stopped_by: int | None = None
        self._since = time.monotonic()
        self._requests = self._errors = self._seconds = 0
        self._response = Histogram()
        self._figures = Text()
        """What was measured so far, made when it changes: the line is drawn by a thread of its own."""

    def message(self, text: str) -> None:
        """A line that stays."""
        style = "yellow" if text.startswith("warning") else "dim"
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def step(self, step: Step) -> None:
        """A phase begins: what was counted in the last one is forgotten."""
        if self._step is None or step.left != self._step.left:
            self._since = time.monotonic()
        self._step = step
        if step.phase in {"warm up", "measure"}:
            self._requests = self._errors = self._seconds = 0
            self._response = Histogram()
            self._figures = Text()

    def second(self, second: Second) -> None:
        """One more second of load."""
        self._seconds += 1
        for by_status in second.cells.values():
            for cell in by_status.values():
                self._requests += cell.requests
                self._errors += cell.errors
                self._response.add(cell.response)
        share = self._errors / self._requests if self._requests else 0.0
        figures = Text(f"  {self._requests / self._seconds:.0f}/s", style="default")
        figures.append(f"  {format_share(share)} errors", style="red" if self._errors else "default")
        p50, p95 = self._response.quantile(0.5), self._response.quantile(0.95)
        if p50 is not None and p95 is not None:
            figures.append(f"  p50 {format_duration(p50 / 1e6)}  p95 {format_duration(p95 / 1e6)}", style="default")
        self._figures = figures

    def stopping(self, signal_number: int) -> None:
        """A signal came; called from its handler, so nothing is printed here."""
        self._stopped_by = signal_number

    def trial(self, record: TrialRecord) -> None:
        """A trial is over: its line stays."""
        latency = record.latency_ms
        medians = (
            f"p50 {format_duration(latency.p50 / 1000)}, p95 {format_duration(latency.p95 / 1000)}"
            if latency.p50 is not None and latency.p95 is not None
            else "nothing answered"
        )
        blocks = self._step.blocks if self._step else 0
        line = Text(f"block {record.block}/{blocks}  {record.variant}: {record.requests} requests, ")
        line.append(f"{format_share(record.error_rate)} errors, {medians}")
        if not record.valid:
            reasons = "; ".join(f"{note.code}: {note.detail}" for note in record.notes)
            line.append(f"  invalid ({reasons})", style="yellow")
        self.console.print(line, soft_wrap=True)

    def line(self) -> Text:
        """Where the run is now, in one line."""
        step = self._step
        head = self._experiment
        if step is None:
            phase = "starting the mesh and the load generator"
        else:
            head += f"  block {step.block}/{step.blocks}  {step.variant}"
            phase = step.phase
        if self._stopped_by is not None:
            phase = f"{signal.Signals(self._stopped_by).name}: stopping, and restoring what was changed"
        line = Text(f"{head}  ", style="bold", no_wrap=True, overflow="ellipsis")
        line.append(phase, style="cyan")
        if step is None or self._stopped_by is not None:
            return line
        line.append_text(self._figures)
        left = max(0.0, step.left - (time.monotonic() - self._since))
        line.append(f"  about {format_duration(ceil(left))} left", style="dim")
        return line


@contextlib.contextmanager
def console_progress(experiment: str) -> Iterator[ConsoleProgress]:
    """Progress on standard error for one run."""
    console = Console(stderr=True, highlight=False)
    progress = ConsoleProgress(console, experiment)
    # FORCE_COLOR makes rich call a log a terminal; a line that moves needs a real one, and one that can move
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield progress
        return
    with Live(
        get_renderable=progress.line,
        console=console,
        refresh_per_second=4,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield progress
