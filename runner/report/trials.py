"""Every trial: whether it counts and why not, its figures, and the proof of which config was in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.report import marks, words
from runner.report.table import Cell, Column, Row, Table, Tone, simple
from runner.report.variants import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.report.limits import Limits
    from runner.results.document.run import RunDocument
    from runner.results.document.trial import TrialRecord

_VERSION_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Attested:
    """The proof for one trial.

    Attributes:
        title: block and variant.
        series: the variant's place.
        summary: in a sentence.
        tone: bad when a proxy changed its config within the window, or a fault did not fire.
        proxies: proxy, version at the start, version at the end, whether they differ.
        faults: counter and how often it fired.
        notes: reasons and remarks.
    """

    title: str
    series: int
    summary: str
    tone: Tone
    proxies: list[tuple[str, str, str, bool]]
    faults: list[tuple[str, int]]
    notes: list[str]


def in_run_order(document: RunDocument) -> list[tuple[int, TrialRecord]]:
    """All trials by their start, each with its variant's place."""
    found = [(place, trial) for place, variant in enumerate(document.variants) for trial in variant.trials]
    return sorted(found, key=lambda pair: (pair[1].started, pair[1].block, pair[1].attempt, pair[0]))


def matrix(document: RunDocument) -> Table:
    """Blocks down, variants across: whether each trial counts, superseded attempts included."""
    attempts = sorted({(trial.block, trial.attempt) for _, trial in in_run_order(document)})
    rows = []
    for block, attempt in attempts:
        title = f"Block {block}" + (f", attempt {attempt}" if attempt > 1 else "")
        cells = [
            _validity([trial for trial in variant.trials if (trial.block, trial.attempt) == (block, attempt)])
            for variant in document.variants
        ]
        rows.append(Row([Cell(title), *cells], tone="muted" if _all_superseded(document, block, attempt) else ""))
    return simple("Validity of every trial", columns(document.variants, "Block"), rows)


def _all_superseded(document: RunDocument, block: int, attempt: int) -> bool:
    trials = [trial for _, trial in in_run_order(document) if (trial.block, trial.attempt) == (block, attempt)]
    return bool(trials) and all(trial.superseded for trial in trials)


def _validity(trials: Sequence[TrialRecord]) -> Cell:
    if not trials:
        return Cell("not run", tone="muted")
    trial = trials[0]
    reasons = "; ".join(marks.INVALID[code] for code in trial.invalid_because)
    if trial.superseded:
        return Cell("superseded", sub=reasons or "its block ran again", tone="muted", symbol="↻")
    if trial.valid:
        return Cell("valid", tone="good", symbol="✓")
    return Cell("invalid", sub=reasons, tone="bad", symbol="✗")


def figures(document: RunDocument, limits: Limits) -> Table:
    """Each trial's own figures in the order that they ran."""
    ordered = in_run_order(document)
    head = [
        Column("Trial"),
        Column("Variant"),
        Column("Started (UTC)"),
        Column("Counts"),
        *(
            Column(title, number=True)
            for title in ("Requests", "Rate", "Error rate", "p50", "p95", "p99", "Lag p99", "Generator CPU")
        ),
    ]
    rows = []
    for number, (_, trial) in enumerate(ordered[: limits.trials], 1):
        validity = _validity([trial])
        rows.append(
            Row(
                [
                    Cell(
                        f"{number}",
                        sub=f"block {trial.block}" + (f", attempt {trial.attempt}" if trial.attempt > 1 else ""),
                    ),
                    Cell(trial.variant),
                    Cell(words.clock(trial.started)),
                    Cell(validity.text, tone=validity.tone, symbol=validity.symbol),
                    Cell(words.count(trial.requests)),
                    Cell(words.rate(trial.rate)),
                    Cell(words.share(trial.error_rate) if trial.requests else words.NONE),
                    Cell(words.latency(trial.latency_ms.p50)),
                    Cell(words.latency(trial.latency_ms.p95)),
                    Cell(words.latency(trial.latency_ms.p99)),
                    Cell(words.latency(trial.generator.lag_ms.p99)),
                    Cell(f"{trial.generator.cpu:.2f} cores" if trial.generator.cpu else words.NONE),
                ],
                tone="" if trial.valid and not trial.superseded else "muted",
            )
        )
    left = len(ordered) - len(rows)
    note = f"{words.plural(left, 'more trial')} in run.json." if left > 0 else ""
    return simple("Every trial, in the order that they ran", head, rows, note)


def attested(document: RunDocument, limits: Limits) -> list[Attested]:
    """The proof for every trial that left any, in run order; those that do not count come when there is room."""
    return [_attested(place, trial) for place, trial in in_run_order(document)[: limits.trials]]


def attested_left(document: RunDocument, limits: Limits) -> int:
    """How many trials `attested` left out."""
    return max(0, sum(len(variant.trials) for variant in document.variants) - limits.trials)


def _attested(place: int, trial: TrialRecord) -> Attested:
    proxies = [
        (name, _version(held.start), _version(held.end), held.start != held.end or not held.end)
        for name, held in sorted(trial.attestation.proxies.items())
    ]
    changed = [name for name, _, _, differs in proxies if differs]
    faults = sorted(trial.attestation.faults.items())
    silent = [name for name, number in faults if not number]
    if changed:
        summary = f"{words.listing(changed)} did not hold the same config from start to end"
    elif proxies:
        summary = f"{words.plural(len(proxies), 'proxy', 'proxies')} held their config from start to end"
    else:
        summary = "no proxy was asked"
    fired = sum(number for _, number in faults)
    if silent and not fired:
        summary += "; the fault never fired"
    elif faults:
        summary += f"; faults fired {words.plural(fired, 'time')}"
    title = f"Block {trial.block}, {trial.variant}" + (f", attempt {trial.attempt}" if trial.attempt > 1 else "")
    notes = [f"Invalid, {marks.INVALID[note.code]}: {note.detail}" for note in trial.notes] + list(trial.remarks)
    if trial.superseded:
        notes.insert(0, "Superseded: its block ran again; nothing of it is counted.")
    tone: Tone = "bad" if changed or (silent and not fired) else ""
    return Attested(title, place, summary, tone, proxies, faults, notes)


def _version(text: str) -> str:
    """A config version, cut to what tells two apart, as git does."""
    return text if len(text) <= _VERSION_LENGTH + 4 else text[:_VERSION_LENGTH] + "…"
