"""Whether a fault that was asked for has fired: by Envoy's counters, and by whose requests Istio's metrics mark.

Envoy counts injected faults per listener, for all services behind it: with two delays in one config, the one that fires
would stand proof for the one that never does. Istio's standard metrics have the response flags of every request by
destination service (`DI` delay injected, `FI` fault injected, i.e. aborted; Envoy's access log documentation).

A fault that only somebody else's requests met is none that the load met: what proxies off the load's way counted is no proof,
nor what a few faults are that others' requests on its way can have set off (`foreign`). And one that a pod without a sidecar passes
by was not in force for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.analysis.words import counted, listing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runner.analysis.foreign import Traffic
    from runner.istio.faults import ExpectedFault
    from runner.results.document.evidence import Edge

FAULT_STATS = {"delay": "fault.delays_injected", "abort": "fault.aborts_injected"}
"""By kind of fault, the ending of Envoy's counter that moves when one is injected."""
FAULT_FLAGS = {"delay": "DI", "abort": "FI"}
"""By kind of fault, Envoy's response flag of a request that was hit."""
_A = {"delay": "a delay", "abort": "an abort"}


PER_REQUEST = 3
"""So many faults may one request of somebody else's have set off: a call and Istio's two retries."""


def why_not_fired(
    fault: ExpectedFault,
    increases: Mapping[str, Mapping[str, int]],
    edges: Collection[Edge],
    traffic: Traffic | None = None,
    bare: Mapping[str, Sequence[str]] | None = None,
) -> str | None:
    """Why a fault counts as one that never fired; None when it did.

    Args:
        fault: what was expected.
        increases: by proxy or workload, by full stat name, how much a counter grew over the window.
        edges: the window's requests between workloads. Where none of them has the fault's flag (a mesh without Istio's
            metrics), the counters alone decide.
        traffic: whose requests the proxies counted; None where all are taken for the load's own.
        bare: by workload, the pods without a sidecar behind a Service of its own.
    """
    ending = FAULT_STATS[fault.kind]
    hits = {name: _hits(counters, ending) for name, counters in increases.items()}
    hits = {name: many for name, many in hits.items() if many}
    if not hits:
        return f"the {fault} never fired: `{ending}` of {counted(len(increases), 'proxy', 'proxies')} did not move"
    own = hits if traffic is None else {name: many for name, many in hits.items() if name in traffic.passed}
    if traffic is not None:
        told = _others(fault, ending, hits, own, traffic)
        if told:
            return told
    marked = [
        edge
        for edge in edges
        if edge.requests
        and FAULT_FLAGS[fault.kind] in edge.flags.split(",")
        and (traffic is None or edge.source in {*traffic.passed, ""} or edge.source not in increases)
    ]
    hit = {edge.service for edge in marked}
    if fault.hosts and hit and "" not in hit and not hit.intersection(fault.hosts):
        return f"the {fault} never fired: only requests to {listing(sorted(hit))} met {_A[fault.kind]}"
    past = {name: pods for name in sorted(own) if (pods := (bare or {}).get(name))}
    if past:
        pods = sorted({pod for pods in past.values() for pod in pods})
        return (
            f"the {fault} fired for a part of the traffic only: behind the Service of {listing(list(past))} stand pods without "
            f"a sidecar too ({listing(pods)}), whose calls no fault meets"
        )
    return None


def _hits(counters: Mapping[str, int], ending: str) -> int:
    return sum(grown for stat, grown in counters.items() if stat == ending or stat.endswith("." + ending))


def _others(
    fault: ExpectedFault, ending: str, hits: Mapping[str, int], own: Mapping[str, int], traffic: Traffic
) -> str | None:
    """Why what was counted may all be somebody else's; None when some of it is the load's."""
    if not own:
        where = listing([f"{name} ({many})" for name, many in sorted(hits.items())])
        return (
            f"the {fault} never fired for this load: `{ending}` moved only in {where}, whose proxy no request from "
            f"{listing(traffic.entry)} passes, so it was met by somebody else's traffic"
        )
    if any(many > PER_REQUEST * traffic.others(name) for name, many in own.items()):
        return None
    seen = [one.words for one in traffic.strangers if one.passed & own.keys()]
    where = listing([f"{many} in {name}" for name, many in sorted(own.items())])
    return (
        f"whether the {fault} fired for this load can't be told: `{ending}` counted {where}, where somebody else's requests "
        f"passed too ({'; '.join(seen)})"
    )
