"""All steps of a capacity search as one trial, because a search is what is compared, kept and shown as one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.conduct.trial import ACCESS_LOG_SAMPLE, TrialOutcome
from runner.results.counters import added, summed
from runner.results.document.attestation import Attestation, ProxyVersions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.results.document.evidence import Edge
    from runner.results.window import Second, Window


def merged_window(windows: Sequence[Window]) -> Window:
    """Windows one after the other as one; the time between them is left out.

    Args:
        windows: at least one, in order.
    """
    seconds: list[Second] = []
    for window in windows:
        start = len(seconds)
        seconds += [replace(second, offset=start + place) for place, second in enumerate(window.seconds)]
    first, last = windows[0], windows[-1]
    return replace(
        first,
        seconds=seconds,
        length=sum(window.length for window in windows),
        scheduled=sum(window.scheduled for window in windows),
        started=first.started,
        ended=last.ended,
        generator_cpu=max(window.generator_cpu for window in windows),
        drained=all(window.drained for window in windows),
        stopped=False,
        unmeasured=sum(window.unmeasured for window in windows),
        user_errors=summed([window.user_errors for window in windows]),
        remarks=list(dict.fromkeys(remark for window in windows for remark in window.remarks)),
    )


def merged(outcomes: Sequence[TrialOutcome]) -> TrialOutcome:
    """The steps of a search as one trial: windows joined, counters and edges summed, versions at the outermost edges.

    Args:
        outcomes: at least one, in order.
    """
    first, last = outcomes[0], outcomes[-1]
    window = merged_window([outcome.file.window for outcome in outcomes])
    flagged = sorted(
        (entry for outcome in outcomes for entry in outcome.file.access_log), key=lambda entry: entry.flags in {"", "-"}
    )
    file = replace(
        first.file,
        window=window,
        stats_after=last.file.stats_after,
        edges=_edges([outcome.file.edges for outcome in outcomes]),
        access_log=flagged[:ACCESS_LOG_SAMPLE],
    )
    evidence = replace(
        last.evidence,
        window=window,
        increases=added([outcome.evidence.increases for outcome in outcomes]),
        absent=dict(last.evidence.absent),
    )
    attestation = Attestation(
        proxies={
            proxy: ProxyVersions(start=held.start, end=_end(proxy, outcomes))
            for proxy, held in first.attestation.proxies.items()
        },
        faults=summed([outcome.attestation.faults for outcome in outcomes]),
    )
    remarks = list(dict.fromkeys(remark for outcome in outcomes for remark in outcome.remarks))
    return TrialOutcome(file, evidence, attestation, last.crossing, remarks)


def _end(proxy: str, outcomes: Sequence[TrialOutcome]) -> str:
    """The version at the last edge; the first one that differs, where the config was lost in between and came back."""
    held = [outcome.attestation.proxies[proxy] for outcome in outcomes if proxy in outcome.attestation.proxies]
    return next((one.end for one in held if one.end != held[0].start), held[-1].end)


def _edges(parts: Sequence[list[Edge]]) -> list[Edge]:
    total: dict[tuple[str, ...], Edge] = {}
    for edge in (edge for part in parts for edge in part):
        key = (edge.reporter, edge.source, edge.destination, edge.service, edge.code, edge.flags)
        known = total.get(key)
        total[key] = edge if known is None else _joined(known, edge)
    return [total[key] for key in sorted(total)]


def _joined(one: Edge, other: Edge) -> Edge:
    requests = one.requests + other.requests
    timed = [edge for edge in (one, other) if edge.duration_ms is not None and edge.requests]
    spent = sum((edge.duration_ms or 0.0) * edge.requests for edge in timed)
    mean = spent / sum(edge.requests for edge in timed) if timed else None
    return one.model_copy(update={"requests": requests, "duration_ms": mean})
