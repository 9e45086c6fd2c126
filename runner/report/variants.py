"""Variants side by side: one column each, one row per figure, the interval under its estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.report import words
from runner.report.table import Cell, Column, Group, Row, Table, simple
from runner.results.document.figures import Interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.report.limits import Limits
    from runner.results.document.figures import Figures, Latency
    from runner.results.document.run import RunDocument
    from runner.results.document.variant import VariantRecord

QUANTILES = (
    ("p50", "p50 (median)"),
    ("p75", "p75"),
    ("p90", "p90"),
    ("p95", "p95"),
    ("p99", "p99"),
    ("p99.9", "p99.9"),
    ("mean", "mean"),
    ("max", "max"),
)
"""Latency figures in the order of the page, with their row heads."""

_ENOUGH_BEYOND = 50
"""Requests that should lie beyond a quantile for it to be worth comparing (`measuring.md`)."""


def latency_value(latency: Latency, metric: str) -> float | None:
    """The figure of a latency record by its name on the page (`p99.9`)."""
    value: float | None = getattr(latency, metric.replace(".", "_"))
    return value


def columns(variants: Sequence[VariantRecord], first: str) -> list[Column]:
    """The head of a table with a column for each variant."""
    return [Column(first)] + [
        Column(variant.name, number=True, sub=role(variant), series=place) for place, variant in enumerate(variants)
    ]


def role(variant: VariantRecord) -> str:
    """What to say under a variant's name: `baseline`, `closed loop`, both or nothing."""
    return ", ".join(
        word for word, true in (("baseline", variant.baseline), ("closed loop", variant.closed_loop)) if true
    )


def side_by_side(document: RunDocument) -> Table:
    """The main table: traffic, errors, what pages showed, latency, service time."""
    variants = document.variants
    groups = [_traffic(variants), _statuses(variants), _outcomes(variants), _exceptions(variants)]
    groups.append(_latencies(variants, open_loop=document.open_loop))
    if any(not variant.closed_loop and variant.service_ms.p50 is not None for variant in variants):
        groups.append(_service(variants))
    groups.append(_capacity(variants))
    few = any(_few_beyond(metric, variant.requests) for metric, _ in QUANTILES for variant in variants)
    note = f"Quiet figures: fewer than {_ENOUGH_BEYOND} requests lie beyond, so they say little." if few else ""
    return Table("Variants side by side", columns(variants, "Figure"), [group for group in groups if group.rows], note)


def by_name(document: RunDocument, limits: Limits) -> Table | None:
    """The same figures for each request name; None when there is but one name."""
    names = sorted({name for variant in document.variants for name in variant.by_name})
    if len(names) < 2:  # noqa: PLR2004 - one name is the whole
        return None
    groups = [_named(document.variants, name) for name in names[: limits.names]]
    left = len(names) - len(groups)
    note = f"{words.plural(left, 'more request name')} in run.json." if left else ""
    return Table("Figures by request name", columns(document.variants, "Figure"), groups, note)


def loads(document: RunDocument) -> Table:
    """The load that each variant got, variants with the same load in one row."""
    by_load: dict[tuple[str, str], list[str]] = {}
    for variant in document.variants:
        by_load.setdefault((variant.load or words.NONE, _loop(variant)), []).append(variant.name)
    alike = len(by_load) == 1 and len(document.variants) > 1
    rows = [
        Row([Cell("all variants" if alike else words.listing(names)), Cell(load), Cell(loop)])
        for (load, loop), names in by_load.items()
    ]
    return simple("Load", [Column("Variant"), Column("Load"), Column("Kind")], rows)


def _loop(variant: VariantRecord) -> str:
    if variant.closed_loop:
        return (
            "closed loop: each user (of fortio: connection) waits for its answer, so a slow service gets fewer requests"
        )
    return "open loop: requests are due by a schedule, whatever the service does"


def _row(title: str, variants: Sequence[VariantRecord], cell: Callable[[VariantRecord], Cell], sub: str = "") -> Row:
    return Row([Cell(title, sub=sub), *(cell(variant) for variant in variants)])


def _traffic(variants: Sequence[VariantRecord]) -> Group:
    rows = [
        _row("Requests", variants, lambda variant: Cell(words.count(variant.requests), sub=_valid(variant))),
        _row("Rate", variants, lambda variant: Cell(words.rate(variant.rate) if variant.requests else words.NONE)),
        _row(
            "Errors", variants, lambda variant: Cell(words.count(variant.errors), tone="bad" if variant.errors else "")
        ),
        _row("Error rate", variants, _error_rate),
    ]
    if any(variant.dropped for variant in variants):
        rows.append(
            _row(
                "Dropped arrivals",
                variants,
                lambda variant: Cell(words.count(variant.dropped), tone="bad" if variant.dropped else ""),
            )
        )
    return Group(rows, "Traffic")


def _valid(variant: VariantRecord) -> str:
    counted = [trial for trial in variant.trials if not trial.superseded]
    good = sum(trial.valid for trial in counted)
    if good == len(counted):
        return words.plural(good, "trial")
    return f"{good} of {words.plural(len(counted), 'trial')} valid"


def _error_rate(variant: VariantRecord) -> Cell:
    if not variant.requests:
        return Cell(words.NONE)
    interval = variant.intervals.get("error_rate", Interval())
    return Cell(words.share(variant.error_rate), sub=words.share_interval(interval))


def _statuses(variants: Sequence[VariantRecord]) -> Group:
    codes = sorted({code for variant in variants for code in variant.status})

    def cell(code: str) -> Callable[[VariantRecord], Cell]:
        return lambda variant: _counted(variant.status.get(code, 0), variant, "bad" if code[:1] in "05" else "")

    rows = [_row(code if code != "0" else "0 (no response)", variants, cell(code)) for code in codes]
    return Group(rows, "Status codes")


def _counted(number: int, variant: VariantRecord, tone: str) -> Cell:
    part = number / variant.requests if variant.requests else None
    return Cell(
        words.share(part) if number else "0",
        sub=words.plural(number, "request") if number else "",
        tone="bad" if number and tone == "bad" else "" if number else "muted",
    )


def _outcomes(variants: Sequence[VariantRecord]) -> Group:
    labels = sorted({label for variant in variants for label in variant.outcomes})

    def cell(label: str) -> Callable[[VariantRecord], Cell]:
        def one(variant: VariantRecord) -> Cell:
            if not variant.requests:
                return Cell(words.NONE)
            part = variant.outcomes.get(label, 0) / variant.requests
            interval = variant.intervals.get(f"outcome[{label}]", Interval())
            seen = words.share_interval(interval) or words.plural(variant.outcomes.get(label, 0), "request")
            return Cell(words.share(part), sub=seen, bar=part)

        return one

    return Group(
        [_row(label, variants, cell(label)) for label in labels],
        "What the pages showed",
        "share of all requests, as the loadfile labelled them",
    )


def _exceptions(variants: Sequence[VariantRecord]) -> Group:
    kinds = sorted({kind for variant in variants for kind in variant.exceptions})
    rows = [
        Row(
            [
                Cell(kind, code=True),
                *(_counted(variant.exceptions.get(kind, 0), variant, "bad") for variant in variants),
            ]
        )
        for kind in kinds
    ]
    return Group(rows, "No response, because of")


def _latencies(variants: Sequence[VariantRecord], *, open_loop: bool) -> Group:
    def cell(metric: str) -> Callable[[VariantRecord], Cell]:
        def one(variant: VariantRecord) -> Cell:
            interval = variant.intervals.get(metric, Interval())
            few = _few_beyond(metric, variant.requests)
            return Cell(
                words.latency(latency_value(variant.latency_ms, metric)),
                sub=words.latency_interval(interval),
                tone="muted" if few else "",
            )

        return one

    rows = [_row(title, variants, cell(metric)) for metric, title in QUANTILES]
    mixed = len({variant.closed_loop for variant in variants}) > 1
    if mixed:
        note = "response time from the due moment; in closed-loop variants service time from the sending"
    elif open_loop and not any(variant.closed_loop for variant in variants):
        note = "response time: from the moment a request was due, so waiting counts"
    else:
        note = "closed loop: service time, from the sending to the last byte; waiting before it is not seen"
    return Group(rows, "Latency", note)


def _few_beyond(metric: str, requests: int) -> bool:
    """Whether so few requests lie beyond a quantile that it says little."""
    if not metric.startswith("p"):
        return False
    return requests * (1 - float(metric[1:]) / 100) < _ENOUGH_BEYOND


def _service(variants: Sequence[VariantRecord]) -> Group:
    def cell(metric: str) -> Callable[[VariantRecord], Cell]:
        return lambda variant: Cell(words.latency(latency_value(variant.service_ms, metric)))

    rows = [_row(metric, variants, cell(metric)) for metric in ("p50", "p95", "p99", "max")]
    return Group(rows, "Service time", "from the sending to the last byte, without the wait before it")


def _capacity(variants: Sequence[VariantRecord]) -> Group:
    if not any(variant.capacity for variant in variants):
        return Group([])

    def cell(variant: VariantRecord) -> Cell:
        found = variant.capacity
        if not found:
            return Cell(words.NONE)
        low, high = found.get("low"), found.get("high")
        return Cell(words.rate(found.get("rate")), sub=f"between {words.rate(low)} and {words.rate(high)}")

    return Group([_row("Capacity", variants, cell)], "Capacity", "the highest arrival rate that keeps the objective")


def _named(variants: Sequence[VariantRecord], name: str) -> Group:
    def figure(text: Callable[[Figures], str]) -> Callable[[VariantRecord], Cell]:
        def one(variant: VariantRecord) -> Cell:
            figures = variant.by_name.get(name)
            return Cell(text(figures) if figures else words.NONE)

        return one

    rows = [
        _row("Requests", variants, figure(lambda figures: words.count(figures.requests))),
        _row("Error rate", variants, figure(lambda figures: words.share(figures.error_rate))),
        _row("p50", variants, figure(lambda figures: words.latency(figures.latency_ms.p50))),
        _row("p95", variants, figure(lambda figures: words.latency(figures.latency_ms.p95))),
        _row("p99", variants, figure(lambda figures: words.latency(figures.latency_ms.p99))),
    ]
    return Group(rows, name, code=True)
