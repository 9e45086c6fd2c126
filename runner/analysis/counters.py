"""Which Envoy counters a `proxy[WORKLOAD STAT]` means, and how much they grew.

STAT is a full name, an ending of exactly one counter that moved (from a `.` on), or `/regex/`, whose matches are
summed. Envoy repeats its per-status counters under `external`, `internal`, `canary` and `retry`; an ending means the
plain one.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.analysis.words import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.analysis.evidence import TrialEvidence
    from runner.spec.metrics import Metric

_MADE_WHEN_USED = re.compile(r"(?:(?:external|internal|canary|retry)\.)?(\w+_rq)_(?:\d{3}|\dxx)$")
"""Counters that Envoy makes when they first count: their absence means zero where others of the same cluster or listener
are there, that of any other a name that does not exist."""

_REPEATED_UNDER = ("external", "internal", "canary", "retry")
_STANDARD_METRIC = re.compile(r"(?:^|_|\.)istio_")

_NOT_KEPT = "; if it is spelled right, it never came up, or the sidecar does not keep it: on a cluster, --add-stats has it kept for the run"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a counter came to over some trials.

    Attributes:
        value: the summed increase; None when it can't be told.
        names: the full stat names that were summed.
        missing: why there is no value.
        note: what a reader should know beside the value.
    """

    value: int | None
    names: tuple[str, ...] = ()
    missing: str = ""
    note: str = ""


def workloads_of(name: str, trial: TrialEvidence) -> list[str]:
    """The workloads that a workload's or a service's name means in a trial; none for an unknown name."""
    if name in trial.increases:
        return [name]
    return [workload for workload in trial.services.get(name, []) if workload in trial.increases]


def _ending(stat: str, moved: set[str]) -> list[str]:
    """The counters that a name or an ending means."""
    if stat in moved:
        return [stat]
    ending = "." + stat.removeprefix(".")
    found = {name for name in moved if name.endswith(ending)}
    repeated = {
        name
        for name in found
        if (head := name.removesuffix(ending)).endswith(tuple("." + word for word in _REPEATED_UNDER))
        and head.rpartition(".")[0] + ending in found
    }
    return sorted(found - repeated)


def _exists(stat: str, known: set[str], *, is_regex: bool) -> bool:
    if is_regex:
        pattern = re.compile(stat)
        return any(pattern.search(name) for name in known)
    if _ending(stat, known):
        return True
    family = _MADE_WHEN_USED.sub(r"\1_", stat)
    return family != stat and any(name.startswith(family) or f".{family}" in name for name in known)


def _meant(stat: str, known: set[str]) -> str:
    if _STANDARD_METRIC.search(stat):
        return "; Istio's standard metrics are shown as requests between workloads and are no counters here"
    endings = {name.rpartition(".")[2] for name in known}
    near = difflib.get_close_matches(stat.rpartition(".")[2], endings, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def read_counter(metric: Metric, trials: Sequence[TrialEvidence]) -> Reading:
    """The increase of the counters that a `proxy[WORKLOAD STAT]` means, summed over trials and workloads.

    Args:
        metric: the `proxy` metric.
        trials: those that count.
    """
    who, stat, is_regex = metric.stat
    parts: list[dict[str, int]] = []
    known_names: set[str] = set()
    for trial in trials:
        workloads = workloads_of(who, trial)
        if not workloads:
            if not trial.increases:
                return Reading(
                    None, missing=trial.absent.get("proxy", f"no proxy's stats were read in block {trial.block}")
                )
            known = sorted({*trial.increases, *trial.services})
            return Reading(
                None,
                missing=f"no workload or service `{who}` was read in block {trial.block}; known: {listing(known, 20)}",
            )
        foreign = next((trial.foreign[workload] for workload in workloads if workload in trial.foreign), None)
        if foreign:
            return Reading(None, missing=f"{foreign} (block {trial.block})")
        parts.extend(trial.increases[workload] for workload in workloads)
        for workload in workloads:
            known_names |= trial.known.get(workload, frozenset())
    moved = {name for part in parts for name, grown in part.items() if grown}
    if is_regex:
        pattern = re.compile(stat)
        names = sorted(name for name in moved if pattern.search(name))
    else:
        names = _ending(stat, moved)
        if len(names) > 1:
            return Reading(
                None,
                names=tuple(names),
                missing=f"`{stat}` is the ending of {len(names)} counters that moved: {listing(names)}; "
                "write more of the name",
            )
    if not names and known_names and not _exists(stat, known_names, is_regex=is_regex):
        meant = _meant(stat, known_names) or _NOT_KEPT
        return Reading(None, missing=f"the proxy of {who} has no counter `{stat}`{meant}")
    value = sum(part.get(name, 0) for part in parts for name in names)
    return Reading(value, names=tuple(names), note="" if names else f"no counter `{stat}` of {who} moved")
