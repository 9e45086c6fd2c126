"""Whose requests the proxies of a window counted: the load's own, or somebody else's besides.

A namespace of a cluster may have other users. Their requests move the same counters as the load's, and an injected fault
that only they met looks like one that the load met. Two things tell them apart. A proxy that no request from the load's entry
passes, along the calls that were counted in the window, counted only others'. And where more requests arrived than the load and
all known callers sent, the rest came from elsewhere. Both are bounds: what can't be told counts as the load's own, so that a
quiet mesh never raises a false alarm.

Not counted as somebody else's: retries and mirrored requests (a sender's proxy counts each of them), redirects that the
generator follows (3xx), attempts that failed (5xx, which proxies retry), and what never passes an HTTP listener of a service:
the kubelet's probes and Prometheus' scrapes of Istio's agent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from runner.analysis.words import counted, listing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from runner.results.document.evidence import Edge

FEW = 10
"""So many requests of others are no more than remarks are for: a load balancer's health checks, a scrape of the app itself ..."""
SHARE = 0.05
"""... and so is this share of the load's own."""
GENERATOR = "meshtrial-"
"""How the Jobs of load generators in the cluster are called, whose sidecars have the place of the load's workload."""

_CALLED = re.compile(r"^cluster\.outbound\|[^|]*\|[^|]*\|([^|;]+?);?\.upstream_rq_(total|2xx|4xx)$")
_REPEATED = (".external", ".internal", ".canary", ".retry")
_CAME = re.compile(r"^http\.inbound_.*\.downstream_rq_(total|2xx|4xx)$")
_ELSEWHERE = re.compile(r"^cluster\.PassthroughCluster;?\.upstream_(?:rq|cx)_total$")
_ANSWERED = ("2xx", "4xx")
_OUTBOUND, _INBOUND = "cluster.outbound|", ("http.inbound_", "cluster.inbound|")


@dataclass(frozen=True, slots=True)
class Strangers:
    """Requests in a window that its load can't account for.

    Attributes:
        requests: how many, at least.
        words: where they were seen.
        passed: the workloads whose proxies may have counted them, or what they caused.
    """

    requests: int
    words: str
    passed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Whose requests a window's proxies counted.

    Attributes:
        entry: where the load came in.
        passed: the workloads whose proxies the load's requests may have passed.
        strangers: what else was seen.
    """

    entry: tuple[str, ...]
    passed: frozenset[str]
    strangers: tuple[Strangers, ...] = ()

    def others(self, workload: str) -> int:
        """Requests of somebody else's that this workload's proxy may have counted."""
        return sum(one.requests for one in self.strangers if workload in one.passed)

    def clear(self, sent: int) -> list[Strangers]:
        """Those that are too many for chance, beside a load of `sent` requests."""
        return [one for one in self.strangers if one.requests > max(FEW, SHARE * sent)]


@dataclass(frozen=True)
class Flows:
    """What a window's counters and metrics say about who called whom.

    Attributes:
        increases: by workload, by full stat name, how much a counter grew.
        edges: requests between workloads in Istio's metrics.
        services: by service, the workloads behind it.
        known: by workload, the names of all its proxy's counters, moved or not.
        entry: the workloads where the load comes in: the gateways, or the one whose sidecar it leaves through.
    """

    increases: Mapping[str, Mapping[str, int]]
    edges: Sequence[Edge] = ()
    services: Mapping[str, Sequence[str]] = field(default_factory=dict)
    known: Mapping[str, Collection[str]] = field(default_factory=dict)
    entry: tuple[str, ...] = ()

    @cached_property
    def links(self) -> list[Edge]:
        """The edges, under the names that workloads have here; a load generator's Job has the place of its workload."""
        names = {*self.increases, *self.entry}
        short = {name.split(".")[0]: name for name in sorted(names, reverse=True)}

        def here(name: str) -> str:
            if name.startswith(GENERATOR) and self.entry:
                return self.entry[0]
            return name if name in names else short.get(name, name)

        return [
            edge.model_copy(update={"source": here(edge.source), "destination": here(edge.destination)})
            for edge in self.edges
            if edge.requests
        ]

    @cached_property
    def calls(self) -> dict[str, dict[str, dict[str, int]]]:
        """By caller, by host called: requests sent (`total`), and those answered by class (`2xx`, `4xx`)."""
        found: dict[str, dict[str, dict[str, int]]] = {}
        for workload, counters in self.increases.items():
            for stat, grown in counters.items():
                match = _CALLED.match(stat)
                if match and grown and not match[1].endswith(_REPEATED):
                    kinds = found.setdefault(workload, {}).setdefault(match[1], {})
                    kinds[match[2]] = kinds.get(match[2], 0) + grown
        return found

    def behind(self, host: str) -> frozenset[str] | None:
        """The workloads behind a host; None for one that is no service here."""
        labels = host.split(".")
        for name in (".".join(labels[:2]), labels[0]):
            if name in self.services:
                return frozenset(self.services[name])
        return None

    @cached_property
    def called(self) -> frozenset[str]:
        """The workloads that somebody called, as far as it can be told."""
        found = {edge.destination for edge in self.links}
        named = bool(found) and "" not in found
        keeping = {name for name in self.increases if self._keeps(name, _INBOUND)}
        for workload, counters in self.increases.items():
            moved = any(grown and stat.startswith(_INBOUND) for stat, grown in counters.items())
            # A proxy without counters of what came in was told not to keep them. It is one of an app that serves nothing where
            # it keeps those of its calls, and others keep both.
            dumb = bool(self.known.get(workload)) and workload not in keeping
            serves_nothing = bool(keeping) and self.tells(workload)
            if moved or (dumb and not serves_nothing and not named):
                found.add(workload)
        return frozenset(found - {""})

    def tells(self, workload: str) -> bool:
        """Whether a workload's proxy keeps counters of whom it calls."""
        return self._keeps(workload, (_OUTBOUND,))

    def _keeps(self, workload: str, beginnings: tuple[str, ...]) -> bool:
        names: Collection[str] = self.known.get(workload) or self.increases.get(workload) or ()
        return any(name.startswith(beginnings) for name in names)

    def next(self, workload: str) -> frozenset[str]:
        """Whom a workload called, as far as it can be told; where it can't, everybody who was called."""
        ends = {edge.destination for edge in self.links if edge.source == workload}
        hosts = [self.behind(host) for host, kinds in self.calls.get(workload, {}).items() if kinds.get("total")]
        elsewhere = any(grown and _ELSEWHERE.match(stat) for stat, grown in self.increases.get(workload, {}).items())
        blind = not self.tells(workload) and (not ends or "" in ends)  # metrics may not know whom it called
        if blind or elsewhere or None in hosts:
            return self.called
        return (frozenset(ends) | frozenset().union(*(group for group in hosts if group))) & self.called

    def reach(self, start: Iterable[str]) -> frozenset[str]:
        """All workloads that requests from `start` can have got to, those included."""
        found = set(start)
        todo = list(found)
        while todo:
            more = self.next(todo.pop()) - found
            found |= more
            todo += more
        return frozenset(found)

    @cached_property
    def groups(self) -> list[frozenset[str]]:
        """The workloads behind each service; those of services that share one are together."""
        found: list[frozenset[str]] = []
        for workloads in self.services.values():
            group = frozenset(workloads)
            found, joined = [one for one in found if not one & group], [one for one in found if one & group]
            found.append(group.union(*joined))
        return found

    def answered(self, callers: Collection[str], group: frozenset[str]) -> int:
        """Calls that some workloads had answered by a group, or by a host that may lead to it."""
        return sum(
            kinds.get(kind, 0)
            for name in callers
            for host, kinds in self.calls.get(name, {}).items()
            if (behind := self.behind(host)) is None or behind & group
            for kind in _ANSWERED
        )

    def summed(self, workload: str, pattern: re.Pattern[str], kinds: Collection[str]) -> int:
        """A workload's counters of some kinds, added up."""
        return sum(
            grown
            for stat, grown in self.increases.get(workload, {}).items()
            if (match := pattern.match(stat)) and match[1] in kinds
        )


def whose(flows: Flows, sent: int | None) -> Traffic:
    """Whose requests the proxies counted.

    Args:
        flows: what they counted.
        sent: requests that the load sent; None where it can't be told exactly, and then only callers are looked at.
    """
    passed = flows.reach(flows.entry)
    strangers = [*_callers(flows, passed), *_nameless(flows, passed)]
    if sent is not None:
        strangers += [*_at_entry(flows, passed, sent), *_unexplained(flows, passed, sent)]
    return Traffic(flows.entry, passed, tuple(strangers))


def _callers(flows: Flows, passed: frozenset[str]) -> Iterable[Strangers]:
    """Workloads that the load does not get to, and that call some that it does."""
    for workload in sorted({*flows.increases, *(edge.source for edge in flows.links)} - passed - {""}):
        ends: set[str] = set()
        total = 0
        for host, kinds in flows.calls.get(workload, {}).items():
            group = (flows.behind(host) or frozenset()) & passed
            if group:
                ends |= group
                total += kinds.get("total", 0)
        reported: dict[str, int] = {}
        for edge in flows.links:
            if edge.source == workload and edge.destination in passed:
                ends.add(edge.destination)
                reported[edge.reporter] = reported.get(edge.reporter, 0) + edge.requests
        many = max([total, *reported.values()])
        if many:
            words = f"{workload}, which this load does not get to, sent {counted(many, 'request')} to {listing(sorted(ends))}"
            yield Strangers(many, words, flows.reach(ends) | {workload})


def _nameless(flows: Flows, passed: frozenset[str]) -> Iterable[Strangers]:
    """Callers without a sidecar, whose names metrics don't know; the load's own entry has a proxy then."""
    if not all(name in flows.increases for name in flows.entry):
        return
    came = [
        edge
        for edge in flows.links
        if edge.reporter == "destination" and not edge.source and edge.destination in passed and edge.code[:1] in "24"
    ]
    if many := sum(edge.requests for edge in came):
        ends = {edge.destination for edge in came}
        words = f"{counted(many, 'request')} came to {listing(sorted(ends))} from callers without a sidecar"
        yield Strangers(many, words, flows.reach(ends))


def _at_entry(flows: Flows, passed: frozenset[str], sent: int) -> Iterable[Strangers]:
    """More requests where the load comes in than it sent; a gateway's to services elsewhere are no matter."""
    entry = frozenset(flows.entry)
    if flows.called & entry:  # what others call it for makes it call too
        return
    ours = frozenset(flows.increases) - entry
    many = sum(
        edge.requests
        for edge in flows.links
        if edge.reporter == "source"
        and edge.source in entry
        and edge.destination in ours
        and not edge.code.startswith("3")
    )
    for group in flows.groups:
        if group & ours:  # each alone, for a gateway's mirrored requests go to another service or come on top
            many = max(many, flows.answered(entry, group))
    if many > sent:
        words = f"{listing(flows.entry)} passed on {counted(many, 'request')}, and this load sent {sent}"
        yield Strangers(many - sent, words, passed)


def _unexplained(flows: Flows, passed: frozenset[str], sent: int) -> Iterable[Strangers]:
    """More requests at a service than all known callers and the load sent there."""
    callers = set(flows.increases) - set(flows.entry)
    if not all(flows.tells(name) for name in callers):
        return
    if any(_ELSEWHERE.match(stat) for counters in flows.increases.values() for stat in counters):
        return
    own = 0 if flows.entry and all(flows.tells(name) for name in flows.entry) else sent
    for group in flows.groups:
        if not group & passed or group & frozenset(flows.entry):
            continue
        came = sum(flows.summed(workload, _CAME, _ANSWERED) for workload in group)
        explained = flows.answered(flows.calls, group)
        if came > explained + own:
            load = f" and this load sent {sent}" if own else ""
            words = f"{counted(came, 'request')} came to {listing(sorted(group & flows.called))}; known callers sent {explained}{load}"
            yield Strangers(came - explained - own, words, flows.reach(group & flows.called))
