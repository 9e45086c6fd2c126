"""Whether a fault that was asked for has fired: by Envoy's counters, and by whose requests Istio's metrics mark.

Envoy counts injected faults per listener, for all services behind it: with two delays in one config, the one that fires
would stand proof for the one that never does. Istio's standard metrics have the response flags of every request by
destination service (`DI` delay injected, `FI` fault injected, i.e. aborted; Envoy's access log documentation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.words import counted, listing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runner.istio.faults import ExpectedFault
    from runner.results.document.evidence import Edge

FAULT_STATS = {"delay": "fault.delays_injected", "abort": "fault.aborts_injected"}
"""By kind of fault, the ending of Envoy's counter that moves when one is injected."""
FAULT_FLAGS = {"delay": "DI", "abort": "FI"}
"""By kind of fault, Envoy's response flag of a request that was hit."""
_A = {"delay": "a delay", "abort": "an abort"}


def why_not_fired(
    fault: ExpectedFault, increases: Mapping[str, Mapping[str, int]], edges: Collection[Edge]
) -> str | None:
    """Why a fault counts as one that never fired; None when it did.

    Args:
        fault: what was expected.
        increases: by proxy or workload, by full stat name, how much a counter grew over the window.
        edges: the window's requests between workloads. Where none of them has the fault's flag (a mesh without Istio's
            metrics), the counters alone decide.
    """
    ending = FAULT_STATS[fault.kind]
    moved = any(
        grown > 0 and (stat == ending or stat.endswith("." + ending))
        for counters in increases.values()
        for stat, grown in counters.items()
    )
    if not moved:
        return f"the {fault} never fired: `{ending}` of {counted(len(increases), 'proxy', 'proxies')} did not move"
    hit = {edge.service for edge in edges if edge.requests and FAULT_FLAGS[fault.kind] in edge.flags.split(",")}
    if not fault.hosts or not hit or "" in hit or hit.intersection(fault.hosts):
        return None
    return f"the {fault} never fired: only requests to {listing(sorted(hit))} met {_A[fault.kind]}"
