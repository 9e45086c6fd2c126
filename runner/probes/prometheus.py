"""PromQL evidence: named, asked for, and never made up.

Neither the embedded mesh nor a plain URL has a Prometheus, so every entry of `collect.promql` is absent there, with the
reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.results.document import AbsentEvidence

if TYPE_CHECKING:
    from collections.abc import Iterable

_REASONS = {
    "local": "the embedded mesh has no Prometheus; proxy[...] reads the same counters from the proxies",
    "none": "a plain URL has no Prometheus",
    "cluster": "this version does not query a cluster's Prometheus",
}


def absent(entries: Iterable[str], mesh_kind: str = "local") -> list[AbsentEvidence]:
    """Every entry of `collect.promql` as absent, with the reason.

    Args:
        entries: the entries' names.
        mesh_kind: `local`, `cluster` or `none`.
    """
    return [AbsentEvidence(name=f"promql[{name}]", reason=_REASONS[mesh_kind]) for name in entries]
