"""Proxy evidence: the counters that moved, the telling ones first, then the whole list."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.report import words
from runner.report.table import Cell, Group, Row, Table
from runner.report.variants import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.report.limits import Limits
    from runner.results.document.run import RunDocument
    from runner.results.document.variant import VariantRecord


@dataclass(frozen=True, slots=True)
class Interest:
    """One kind of counter that readers look for first."""

    title: str
    note: str
    pattern: re.Pattern[str]


def _interest(title: str, note: str, pattern: str) -> Interest:
    return Interest(title, note, re.compile(pattern))


INTERESTS = (
    _interest("Faults injected", "by the fault filter", r"(?<!\w)fault\.(?!active)"),
    _interest(
        "Timeouts",
        "a request or a try took longer than its route allows",
        r"upstream_rq_(?:per_try_(?:idle_)?)?timeout$|upstream_rq_max_duration|rq_timeout$|idle_timeout$|cx_connect_timeout$",
    ),
    _interest("Retries", "tries beyond the first one", r"\bupstream_rq_retry(?!_overflow)|retry\.upstream_rq_"),
    _interest(
        "Overflow",
        "a circuit breaker refused the request or the connection",
        r"(?:pending|cx|rq|retry|pool|faults)_overflow",
    ),
    _interest("Ejections", "hosts taken out by outlier detection", r"outlier_detection\.ejections"),
    _interest("Mirrored requests", "sent to a second service, answers thrown away", r"shadow|mirror"),
    _interest("Rate limits and authorization", "requests refused by policy", r"rate_limit|ratelimit|rbac\..*denied"),
    _interest("5xx answers", "server errors as the proxies saw them", r"(?:upstream|downstream)_rq_5(?:xx|\d\d)$"),
    _interest(
        "Broken connections",
        "not made, reset or ended halfway",
        r"cx_connect_fail|cx_none_healthy|rq_(?:rx|tx)_reset|destroy_(?:local|remote)_with_active_rq|_protocol_error$",
    ),
    _interest(
        "Where requests went",
        "requests that each proxy sent to each cluster",
        r"^cluster\.outbound\|.*upstream_rq_total$",
    ),
)
"""In the order of the page; a counter belongs to the first kind that its name matches."""

_REPEATS = re.compile(
    r"\.(?:external|internal|canary|zone)\.|(?:external|internal|canary)\.upstream_rq|\.vhost\.|\.vcluster\."
)
"""Counters that only say again what another one says."""

_PER_KIND = 14


def telling(document: RunDocument) -> Table:
    """Counters by interest, a group for each kind that moved."""
    variants = document.variants
    found: dict[str, list[tuple[str, str]]] = {interest.title: [] for interest in INTERESTS}
    for proxy, stat in _names(variants):
        interest = interest_of(stat)
        if interest:
            found[interest.title].append((proxy, stat))
    groups = []
    for interest in INTERESTS:
        names = sorted(found[interest.title], key=lambda name: (-_spread(name, variants), name))
        left = len(names) - _PER_KIND
        note = interest.note + (f"; {words.plural(left, 'more counter')} in the whole list" if left > 0 else "")
        rows = [
            Row([Cell(_metric(stat), sub=f"{proxy}: {_prefix(stat)}", code=True), *_counts(proxy, stat, variants)])
            for proxy, stat in names[:_PER_KIND]
        ]
        if rows:
            groups.append(Group(rows, interest.title, note))
    return Table("Telling proxy counters", columns(variants, "Counter, by proxy"), groups)


def whole(document: RunDocument, limits: Limits) -> Table:
    """Every counter that moved, under its proxy and the part of the name that it shares with others."""
    variants = document.variants
    names = sorted(_names(variants))
    by_group: dict[tuple[str, str], list[str]] = {}
    for proxy, stat in names[: limits.counters]:
        by_group.setdefault((proxy, _prefix(stat)), []).append(stat)
    groups = [
        Group(
            [Row([Cell(_metric(stat), code=True), *_counts(proxy, stat, variants)]) for stat in stats],
            f"{proxy} {prefix}".rstrip(),
            code=True,
        )
        for (proxy, prefix), stats in by_group.items()
    ]
    left = len(names) - limits.counters
    note = f"{words.plural(left, 'more counter')} in run.json, left out to keep this page small." if left > 0 else ""
    return Table("Every proxy counter that moved", columns(variants, "Counter"), groups, note)


def interest_of(stat: str) -> Interest | None:
    """The kind that a counter belongs to; None for counters of no special interest."""
    if _REPEATS.search(stat):
        return None
    return next((interest for interest in INTERESTS if interest.pattern.search(stat)), None)


def promql(document: RunDocument, values: dict[str, dict[str, list[float | None]]]) -> Table | None:
    """What the PromQL queries gave.

    Args:
        document: the run.
        values: by query, then by variant, one value for each valid trial in block order.
    """
    if not values:
        return None
    rows = []
    for query, by_variant in sorted(values.items()):
        cells = [_spread_cell(by_variant.get(variant.name, [])) for variant in document.variants]
        rows.append(Row([Cell(query, code=True), *cells]))
    return Table("PromQL, median of the trials", columns(document.variants, "Query"), [Group(rows)])


def _spread_cell(values: Sequence[float | None]) -> Cell:
    known = sorted(value for value in values if value is not None)
    if not known:
        return Cell(words.NONE, sub="no data" if values else "", tone="muted")
    middle = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
    return Cell(words.digits(middle, 4), sub=f"{words.digits(known[0], 4)} to {words.digits(known[-1], 4)}")


def _names(variants: Sequence[VariantRecord]) -> set[tuple[str, str]]:
    return {
        (proxy, stat)
        for variant in variants
        for proxy, stats in variant.proxy.items()
        for stat, number in stats.items()
        if number
    }


def _counts(proxy: str, stat: str, variants: Sequence[VariantRecord]) -> list[Cell]:
    numbers = [variant.proxy.get(proxy, {}).get(stat, 0) for variant in variants]
    return [Cell(words.count(number), tone="" if number else "muted") for number in numbers]


def _spread(name: tuple[str, str], variants: Sequence[VariantRecord]) -> int:
    """How much the variants differ in a counter, which is what a reader compares for."""
    numbers = [variant.proxy.get(name[0], {}).get(name[1], 0) for variant in variants]
    return max(numbers) - min(numbers) if len(numbers) > 1 else max(numbers, default=0)


def _prefix(stat: str) -> str:
    """The part of a stat's name that says whose it is, with its last point."""
    before, mark, _ = stat.partition(";.")
    if mark:
        return before + mark
    return stat[: stat.rfind(".") + 1]


def _metric(stat: str) -> str:
    return stat[len(_prefix(stat)) :]
