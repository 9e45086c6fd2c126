"""Requests from workload to workload, with Envoy's response flags spelled out, and a sample of the access logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.report import words
from runner.report.table import Cell, Column, Group, Row, Table, simple
from runner.report.variants import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.report.limits import Limits
    from runner.results.document.evidence import AccessLogEntry, Edge
    from runner.results.document.run import RunDocument
    from runner.results.trial import TrialFile

FLAGS = {
    "DC": "the client closed the connection",
    "DF": "the name could not be resolved",
    "DI": "a fault delayed the request on purpose",
    "DPE": "the client broke the protocol",
    "FI": "a fault answered in place of the service, on purpose",
    "IH": "the request was refused for a bad header",
    "LH": "the local health check failed",
    "LR": "this proxy reset the connection",
    "NC": "the route names a cluster that does not exist",
    "NFCF": "no filter chain matched",
    "NR": "no route matched",
    "OM": "the overload manager ended the request",
    "RL": "a rate limit refused the request",
    "RLSE": "the rate-limit service failed",
    "SI": "the stream was idle for too long",
    "UAEX": "the authorization service refused the request",
    "UC": "the service closed the connection",
    "UF": "the connection to the service failed",
    "UH": "the service has no healthy host",
    "UMSDR": "the request took longer than the route's longest stream duration",
    "UO": "a circuit breaker refused the request (upstream overflow)",
    "UPE": "the service broke the protocol",
    "UR": "the service reset the connection",
    "URX": "all retries were used up",
    "UT": "the service took longer than the timeout",
}
"""Envoy's response flags (`%RESPONSE_FLAGS%`), in words."""

_NO_FLAGS = frozenset({"", "-"})


def explain(flags: str) -> str:
    """What the flags of one response say; empty without flags."""
    if flags in _NO_FLAGS:
        return ""
    return "; ".join(FLAGS.get(flag, f"{flag}: see Envoy's documentation") for flag in flags.split(","))


def edges(document: RunDocument, limits: Limits) -> Table:
    """One row for each edge, code and flags; one column for each variant with requests and their mean duration."""
    found: dict[tuple[str, ...], dict[str, Edge]] = {}
    for variant in document.variants:
        for edge in variant.edges:
            row = (edge.source, edge.destination, edge.service, edge.reporter, edge.code, edge.flags)
            found.setdefault(row, {})[variant.name] = edge
    order = sorted(found, key=lambda row: (row[0], row[2], row[1], row[3] != "source", row[4], row[5]))
    rows = [_edge_row(row, found[row], document) for row in order[: limits.edges]]
    left = len(order) - len(rows)
    head = [Column("From"), Column("To"), Column("Seen by"), Column("Code"), Column("Flags")]
    note = f"{words.plural(left, 'more row')} in run.json." if left > 0 else ""
    return simple("Requests from workload to workload", head + columns(document.variants, "")[1:], rows, note)


def _edge_row(row: tuple[str, ...], by_variant: dict[str, Edge], document: RunDocument) -> Row:
    source, destination, service, reporter, code, flags = row
    short = service.partition(".")[0]
    server_error = code.startswith("5") or code == "0"
    cells = [
        Cell(source or "unknown"),
        Cell(destination or _nobody(code, flags), sub=service if service and short != destination else ""),
        Cell({"source": "sender", "destination": "receiver"}.get(reporter, reporter)),
        Cell(code, tone="bad" if server_error else ""),
        Cell("" if flags in _NO_FLAGS else flags, code=True, sub=explain(flags)),
    ]
    for variant in document.variants:
        edge = by_variant.get(variant.name)
        if edge is None or not edge.requests:
            cells.append(Cell("0", tone="muted"))
        else:
            mean = f"mean {words.latency(edge.duration_ms)}" if edge.duration_ms is not None else ""
            cells.append(Cell(words.count(edge.requests), sub=mean))
    return Row(cells)


def _nobody(code: str, flags: str) -> str:
    """What to say of an edge without a workload at its end: an answer without a flag came from somewhere, as from outside the mesh."""
    answered = flags in _NO_FLAGS and not code.startswith("5") and code != "0"
    return "unknown" if answered else "(no host chosen)"


def access_log(document: RunDocument, trials: Sequence[TrialFile], limits: Limits) -> Table:
    """Lines of the access logs: a few of each variant, one for each kind of answer before a second one of any kind."""
    columns_ = [
        Column("Time (UTC)"),
        Column("Proxy"),
        Column("Request"),
        Column("Status", number=True),
        Column("Flags"),
        Column("Details"),
        Column("Duration", number=True),
        Column("Sent to"),
    ]
    groups = []
    explained: set[str] = set()
    for variant in document.variants:
        entries = sample([trial for trial in trials if trial.variant == variant.name], limits.log_lines)
        if entries:
            groups.append(Group([_log_row(entry, limits, explained) for entry in entries], variant.name))
    return Table(
        "Access log, a sample", columns_, groups, "Each proxy writes its own line for a request that it passes on."
    )


def sample(trials: Sequence[TrialFile], lines: int) -> list[AccessLogEntry]:
    """Up to so many log lines, every kind of answer once before any comes twice, flagged and failed ones first."""
    kinds: dict[tuple[str, int, str], list[AccessLogEntry]] = {}
    for trial in trials:
        for entry in trial.access_log:
            kinds.setdefault((entry.proxy, entry.status, entry.flags), []).append(entry)
    order = sorted(kinds, key=lambda kind: (kind[2] in _NO_FLAGS, kind[1] < 500, kind))  # noqa: PLR2004 - server errors
    chosen: list[AccessLogEntry] = []
    for turn in range(lines):
        for kind in order:
            if turn < len(kinds[kind]) and len(chosen) < lines:
                chosen.append(kinds[kind][turn])
    return sorted(chosen, key=lambda entry: entry.time)


def _log_row(entry: AccessLogEntry, limits: Limits, explained: set[str]) -> Row:
    """One line; flags are spelled out where they come for the first time, which `explained` remembers."""
    flags = "" if entry.flags in _NO_FLAGS else entry.flags
    meaning = "" if flags in explained else explain(flags)
    explained.add(flags)
    path = entry.path if len(entry.path) <= limits.line_length else entry.path[: limits.line_length] + "…"
    return Row(
        [
            Cell(words.clock(entry.time)),
            Cell(entry.proxy),
            Cell(f"{entry.method} {path}", sub=entry.authority, code=True),
            Cell(str(entry.status), tone="bad" if entry.status >= 500 or entry.status == 0 else ""),  # noqa: PLR2004
            Cell(flags, code=True, sub=meaning),
            Cell("" if entry.details in _NO_FLAGS else entry.details, code=True),
            Cell(words.latency(entry.duration_ms)),
            Cell(entry.upstream_cluster, sub=entry.upstream_host, code=True),
        ]
    )
