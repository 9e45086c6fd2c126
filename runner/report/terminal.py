"""The end of a run in the terminal: verdict, headline, checks, variants; good in 80 columns and without colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from runner.report import marks, words
from runner.report.answer import top
from runner.results.document.figures import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from runner.report.answer import Top
    from runner.report.table import Tone
    from runner.results.document.run import RunDocument
    from runner.results.document.variant import VariantRecord

STYLES: dict[Tone, str] = {
    "good": "bold green",
    "bad": "bold red",
    "unsure": "bold yellow",
    "muted": "dim",
    "": "bold",
}
_NAME_WIDTH = 18
_COLUMN_WIDTH = 15
_ASCII = {"✓": "+", "✗": "x", "■": "#", "≠": "/=", words.NONE: "-", words.MINUS: "-"}


def print_summary(document: RunDocument, console: Console) -> None:
    """Print what a run came to.

    Args:
        document: the run.
        console: where to; its width, colours and encoding are respected.
    """
    mark = marks.VERDICTS[document.verdict]
    console.print()
    verdict = Text(f"{mark.symbol} {mark.word}", style=STYLES[mark.tone])
    verdict.append(f"  {document.experiment}", style="bold")
    _say(console, verdict)
    _say_answer(console, top(document))
    if document.guardrail:
        stop = document.guardrail
        _say(
            console,
            Text(
                f"Guardrail {stop.rule} stopped it in block {stop.block}, variant {stop.variant}: {stop.observed}",
                style=STYLES["bad"],
            ),
        )
    if document.checks:
        console.print()
        console.print(_checks(document, console))
    if any(variant.requests for variant in document.variants):
        for part in _chunks(document.variants, console.width):
            console.print()
            console.print(_variants(part, console))
    for absent in document.absent:
        _say(console, Text(f"Absent: {absent.name}: {absent.reason}", style=STYLES["unsure"]))
    for warning in document.warnings:
        _say(console, Text(f"Warning: {warning}", style=STYLES["unsure"]))
    if document.restored:
        _say(console, Text(document.restored, style="dim"))


def _answer(answer: Top, console: Console) -> Table:
    """One row for each variant: its name with what its checks came to, and what it changed."""
    table = plain_table()
    table.show_header = False
    table.add_column(overflow="fold", max_width=max(_NAME_WIDTH, console.width // 3))
    table.add_column(overflow="fold", ratio=1)
    for line in answer.lines:
        name = Text(plain_text(line.variant, console), style="bold")
        if line.mark:
            name.append(plain_text(f"\n{line.mark.symbol} {line.checks}", console), style=STYLES[line.mark.tone])
        table.add_row(name, Text(plain_text(line.text, console)))
    return table


def _say_answer(console: Console, answer: Top) -> None:
    """The sentence and what stands under it and, of many variants, a row for each."""
    for line in (answer.sentence, answer.why):
        if line:
            _say(console, Text(line))
    if not answer.lines:
        return
    console.print()
    if answer.lead:
        _say(console, Text(f"{answer.lead}:", style="dim"))
    console.print(_answer(answer, console))
    if answer.left:
        _say(console, Text(f"{words.plural(answer.left, 'more variant')} in the report", style="dim"))


def _say(console: Console, text: Text) -> None:
    text.plain = plain_text(text.plain, console)
    console.print(text, soft_wrap=False)


def plain_text(text: str, console: Console) -> str:
    """The text in signs that the console's encoding has."""
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        for sign, plain in _ASCII.items():
            text = text.replace(sign, plain)
        return text.encode("ascii", "replace").decode()
    return text


def plain_table() -> Table:
    """A table without lines, for any terminal."""
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)


def _checks(document: RunDocument, console: Console) -> Table:
    table = plain_table()
    table.add_column("Outcome", no_wrap=True)
    table.add_column("Check", overflow="fold", ratio=3)
    table.add_column("Observed", overflow="fold", ratio=2)
    for check in document.checks:
        mark = marks.CHECKS[check.outcome]
        said = Text(plain_text(check.check, console))
        if check.reason and check.outcome != "held":
            said.append(f"\n{plain_text(check.reason, console)}", style="dim")
        outcome = Text(plain_text(f"{mark.symbol} {mark.word}", console), style=STYLES[mark.tone])
        table.add_row(outcome, said, Text(plain_text(check.observed, console)))
    return table


def _chunks(variants: Sequence[VariantRecord], width: int) -> list[Sequence[VariantRecord]]:
    """The variants in as many tables as the width asks for, the baseline first in each."""
    most = max(2, (width - _NAME_WIDTH) // (_COLUMN_WIDTH + 2))
    if len(variants) <= most:
        return [variants]
    rest = variants[1:]
    return [[variants[0], *rest[start : start + most - 1]] for start in range(0, len(rest), most - 1)]


def _variants(variants: Sequence[VariantRecord], console: Console) -> Table:
    table = plain_table()
    table.add_column("", overflow="fold", max_width=max(_NAME_WIDTH, console.width // 3))
    for variant in variants:
        table.add_column(
            Text(plain_text(variant.name, console)), justify="right", overflow="fold", min_width=_COLUMN_WIDTH
        )

    def row(title: str, text: Callable[[VariantRecord], str]) -> None:
        table.add_row(
            Text(plain_text(title, console)), *(Text(plain_text(text(variant), console)) for variant in variants)
        )

    if any(variant.capacity for variant in variants):
        row("capacity", lambda variant: words.rate((variant.capacity or {}).get("rate")))
        row("  kept at", lambda variant: words.rate((variant.capacity or {}).get("low")))
        row("  not kept at", lambda variant: words.rate((variant.capacity or {}).get("high")))
    row("requests", lambda variant: words.count(variant.requests))
    row("rate", lambda variant: words.rate(variant.rate))
    row("error rate", lambda variant: words.share(variant.error_rate) if variant.requests else words.NONE)
    if any(variant.dropped for variant in variants):
        row("dropped", lambda variant: words.count(variant.dropped))
    for label in sorted({label for variant in variants for label in variant.outcomes}):
        row(label, lambda variant, label=label: _share_of(variant, label))  # type: ignore[misc]  # binds now
    if any(variant.closed_loop for variant in variants):
        row("latencies", lambda variant: "closed loop" if variant.closed_loop else "open loop")
    row("p50", lambda variant: words.latency(variant.latency_ms.p50))
    row("  95 % interval", lambda variant: words.latency_interval(variant.intervals.get("p50", Interval())))
    row("p95", lambda variant: words.latency(variant.latency_ms.p95))
    row("  95 % interval", lambda variant: words.latency_interval(variant.intervals.get("p95", Interval())))
    row("p99", lambda variant: words.latency(variant.latency_ms.p99))
    row("valid trials", _valid)
    return table


def _share_of(variant: VariantRecord, label: str) -> str:
    return words.share(variant.outcomes.get(label, 0) / variant.requests) if variant.requests else words.NONE


def _valid(variant: VariantRecord) -> str:
    counted = [trial for trial in variant.trials if not trial.superseded]
    return f"{sum(trial.valid for trial in counted)} of {len(counted)}"
