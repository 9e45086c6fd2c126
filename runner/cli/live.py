"""Live progress on standard error: a line that changes on a terminal, one line for each trial everywhere else."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from runner.results.histogram import Histogram
from runner.units import format_duration, format_share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.conduct.progress import Step
    from runner.results.document import TrialRecord
    from runner.results.window import Second


class ConsoleProgress:
    """Shows a run on a console."""

    def __init__(self, console: Console, live: Live | None, experiment: str) -> None:
        self.console = console
        self._live = live
        self._experiment = experiment
        self._step: Step | None = None
        self._since = time.monotonic()
        self._requests = self._errors = self._seconds = 0
        self._response = Histogram()

    def message(self, text: str) -> None:
        """A line that stays."""
        style = "yellow" if text.startswith("warning") else "dim"
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def step(self, step: Step) -> None:
        """A phase begins: what was counted in the last one is forgotten."""
        self._step = step
        self._since = time.monotonic()
        if step.phase in {"warm up", "measure"}:
            self._requests = self._errors = self._seconds = 0
            self._response = Histogram()
        self._show()

    def second(self, second: Second) -> None:
        """One more second of load."""
        self._seconds += 1
        for by_status in second.cells.values():
            for cell in by_status.values():
                self._requests += cell.requests
                self._errors += cell.errors
                self._response.add(cell.response)
        self._show()

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

    def _show(self) -> None:
        if self._live is None or self._step is None:
            return
        self._live.update(self._line())

    def _line(self) -> Text:
        step = self._step
        if step is None:
            return Text("")
        left = max(0.0, step.left - (time.monotonic() - self._since))
        line = Text(f"{self._experiment}  block {step.block}/{step.blocks}  {step.variant}  ", style="bold")
        line.append(step.phase, style="cyan")
        if self._seconds:
            line.append(f"  {self._requests / self._seconds:.0f}/s", style="default")
            share = self._errors / self._requests if self._requests else 0.0
            line.append(f"  {format_share(share)} errors", style="red" if self._errors else "default")
            p50, p95 = self._response.quantile(0.5), self._response.quantile(0.95)
            if p50 is not None and p95 is not None:
                line.append(f"  p50 {format_duration(p50 / 1e6)}  p95 {format_duration(p95 / 1e6)}", style="default")
        line.append(f"  about {format_duration(left)} left", style="dim")
        return line


@contextlib.contextmanager
def console_progress(experiment: str) -> Iterator[ConsoleProgress]:
    """Progress on standard error for one run."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield ConsoleProgress(console, None, experiment)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield ConsoleProgress(console, live, experiment)
