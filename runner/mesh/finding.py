"""What `meshtrial doctor` says about one thing it looked at, and what it needs to know of the experiments it looks for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.istio.resource import Resource


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """A run can go on, and the user should know."""
    PROBLEM = "problem"
    """A run, or what it is asked to prove, would fail."""
    SKIPPED = "skipped"
    """Could not be looked at; `found` says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor.

    Attributes:
        area: what the line belongs to: `machine`, `local mesh`, `cluster`, `load`, or an experiment's name.
        check: what was looked at, in two or three words.
        status: how it ended.
        found: what was seen, in a sentence without a final stop.
        fix: what to do about it; every warning and problem has one.
    """

    area: str
    check: str
    status: Status
    found: str
    fix: str | None = None

    def __str__(self) -> str:
        text = f"{self.status}: {self.check}: {self.found}"
        return f"{text}. {self.fix}" if self.fix else text


@dataclass(frozen=True, slots=True)
class Panel:
    """Findings of one area in the making; a check calls one of its methods and is done.

    Attributes:
        area: see `Finding.area`.
    """

    area: str

    def ok(self, check: str, found: str) -> Finding:
        """Nothing to do."""
        return Finding(self.area, check, Status.OK, found)

    def warning(self, check: str, found: str, fix: str) -> Finding:
        """Worth knowing."""
        return Finding(self.area, check, Status.WARNING, found, fix)

    def problem(self, check: str, found: str, fix: str) -> Finding:
        """In the way."""
        return Finding(self.area, check, Status.PROBLEM, found, fix)

    def skipped(self, check: str, why: str, fix: str | None = None) -> Finding:
        """Not looked at."""
        return Finding(self.area, check, Status.SKIPPED, why, fix)


@dataclass(frozen=True, slots=True)
class StatDemand:
    """A proxy counter that a check reads.

    Attributes:
        check: the check as written, for messages.
        workload: a workload's name, or a service's, which stands for all of its workloads.
        stat: a full stat name, an ending of one, or a regular expression.
        is_regex: whether it is one.
    """

    check: str
    workload: str
    stat: str
    is_regex: bool = False


@dataclass(frozen=True, slots=True)
class Demands:
    """What one experiment asks of a mesh.

    Attributes:
        experiment: its name.
        resources: all that any variant applies, each version of a resource once.
        stats: the counters that its checks and guardrails read.
        sources: where its load comes from: `GATEWAY` of `runner.spec.model`, or workloads.
        promql: names of its PromQL entries.
        faults: stats that must move in the proxies of whoever calls, `fault.delays_injected` and `fault.aborts_injected`.
        app: what the run deploys when the namespace lacks it.
        prometheus: where it says that Prometheus is; None where it does not.
        generator_pods: how many pods its load generators run in on a cluster.
        generator_image: the image that it names for them.
    """

    experiment: str
    resources: tuple[Resource, ...] = ()
    stats: tuple[StatDemand, ...] = ()
    sources: frozenset[str] = frozenset()
    promql: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    app: str = "bookinfo"
    prometheus: str | None = None
    generator_pods: int = 0
    generator_image: str | None = None
