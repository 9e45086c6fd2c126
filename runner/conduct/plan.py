"""From an experiment to the list of trials: every variant's state, the seeded order, and how long it will take."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.conduct.manifests import Manifest, from_file, from_inline, reading_for
from runner.errors import InputError, Problem
from runner.istio.faults import ExpectedFault
from runner.istio.hosts import full_host
from runner.istio.load import known_part, merge
from runner.istio.virtual_service import VirtualService
from runner.spec.mesh import NoMesh

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.base import MeshDescription
    from runner.spec.checks import Condition
    from runner.spec.load import LoadedExperiment
    from runner.spec.load_profile import Load
    from runner.spec.metrics import Metric
    from runner.spec.phases import Phases

OVERHEAD = 0.5
"""Seconds that a trial takes beside its load, for the estimate only (measured: docs/benchmarks.md)."""


@dataclass(frozen=True, slots=True)
class PhasePlan:
    """What is switched on and off while a variant is under load.

    Attributes:
        manifests: what is switched on, in order.
        put: its resources, laid over the variant's state.
        faults: what must be seen to fire while it is on.
        before: seconds from the window's start to the switch on.
        during: seconds from there to the switch off.
        after: seconds from there to the window's end.
        objective: what a good second keeps; empty without one.
    """

    manifests: tuple[Manifest, ...]
    put: tuple[Resource, ...]
    faults: frozenset[ExpectedFault]
    before: float
    during: float
    after: float
    objective: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """What one variant applies, and the load it gets.

    Attributes:
        name: the variant's name.
        manifests: what `setup` and `apply` list, in order.
        put: the resources that a trial applies over the mesh: `setup`, then `apply`, later ones replacing earlier ones.
        faults: what must be seen to fire.
        load: what traffic.
        url: where it goes, when that is a plain URL and not a mesh's own entry.
        family: the variant's key in the file, before the matrix.
        matrix: the matrix values that made it, by variable.
        phases: what is switched on and off under load, if anything is.
    """

    name: str
    manifests: tuple[Manifest, ...]
    put: tuple[Resource, ...]
    faults: frozenset[ExpectedFault]
    load: Load
    url: str | None = None
    family: str = ""
    matrix: dict[str, str] = field(default_factory=dict)
    phases: PhasePlan | None = None

    @property
    def touched(self) -> tuple[Resource, ...]:
        """All that a trial changes in the mesh, each resource once."""
        return tuple(merge(self.put, self.phases.put)) if self.phases else self.put


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """One trial to come."""

    block: int
    variant: VariantPlan
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run will do."""

    experiment: LoadedExperiment
    variants: tuple[VariantPlan, ...]
    blocks: int
    seed: int
    base: tuple[Resource, ...] = field(default=())
    """What the mesh holds before anything is applied."""
    itself: tuple[Metric, ...] | None = None
    """Of an A/A run: the metrics that the experiment's checks would have compared."""

    def order(self, block: int) -> list[TrialPlan]:
        """The trials of a block (from 1) in their seeded random order; all of them get the same arrival seed."""
        dice = random.Random(f"{self.seed}/{block}")  # noqa: S311 - an order that can be repeated, not a secret
        arrivals = dice.randrange(2**31)
        trials = [TrialPlan(block, variant, arrivals) for variant in self.variants]
        dice.shuffle(trials)
        return trials

    def trials(self) -> Iterator[TrialPlan]:
        """All trials in order."""
        for block in range(1, self.blocks + 1):
            yield from self.order(block)

    def seconds(self) -> float:
        """About how long it will take, start-up not counted."""
        return self.blocks * sum(trial_seconds(variant.load) for variant in self.variants)

    def state(self, variant: VariantPlan) -> list[Resource]:
        """What the mesh holds during a trial of `variant`."""
        return merge(self.base, variant.put)

    def switched(self, variant: VariantPlan) -> list[Resource]:
        """What the mesh holds while the phases of `variant` have their change on; its plain state without phases."""
        return merge(self.state(variant), variant.phases.put if variant.phases else ())


def trial_seconds(load: Load) -> float:
    """About how long one trial with this load takes."""
    return load.warmup + load.duration + OVERHEAD


def make_plan(experiment: LoadedExperiment, seed: int, *, aa: bool = False) -> Plan:
    """Read all manifests of an experiment and lay them out as variants.

    Args:
        experiment: what to do.
        seed: of everything random.
        aa: the baseline against itself instead (see `against_itself`).

    Raises:
        InputError: a manifest can't be read, or holds a resource twice; every problem of all of them.
    """
    spec = experiment.experiment
    problems: list[Problem] = []
    reading = reading_for(spec.mesh)

    def listed(
        entries: Sequence[Path | dict[str, object]], variant: str | None, *, phases: bool = False
    ) -> list[Manifest]:
        found = []
        for index, entry in enumerate(entries):
            try:
                found.append(
                    from_file(entry, reading)
                    if isinstance(entry, Path)
                    else from_inline(experiment.inline(variant, index, phases=phases), reading)
                )
            except InputError as error:
                problems.extend(error.problems)
        return found

    setup = listed(spec.setup, None)
    variants = []
    for name, variant in spec.variants.items():
        applied = listed(variant.apply, name)
        switched = listed(variant.phases.apply, name, phases=True) if variant.phases else []
        try:
            put = _layers(setup, applied)
            phases = _phases(variant.phases, switched, experiment.phase_objectives.get(name, ()))
        except InputError as error:
            problems.extend(error.problems)
            continue
        url = variant.url or (spec.mesh.none.url if isinstance(spec.mesh, NoMesh) else None)
        variants.append(
            VariantPlan(
                name,
                (*setup, *applied),
                put,
                expected_faults(put),
                variant.load,
                url,
                variant.family,
                variant.matrix,
                phases,
            )
        )
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    plan = Plan(experiment, _with_idle_faults(variants), spec.blocks, seed)
    return against_itself(plan) if aa else plan


def against_itself(plan: Plan) -> Plan:
    """The plan of an A/A run: the baseline, and the same once more, in blocks like any other; nothing is checked."""
    first = plan.variants[0]
    again = replace(first, name=f"{first.name} (A/A)", family="", matrix={})
    return replace(
        plan,
        # what is warned of is about checks and about variants that do not run
        experiment=replace(plan.experiment, checks=(), warnings=()),
        variants=(replace(first, family="", matrix={}), again),
        itself=tuple(dict.fromkeys(check.metric for check in plan.experiment.checks if check.baseline is not None)),
    )


def _phases(
    written: Phases | None, manifests: Sequence[Manifest], objective: tuple[Condition, ...]
) -> PhasePlan | None:
    if written is None:
        return None
    put = _layers(manifests)
    return PhasePlan(
        tuple(manifests), put, expected_faults(put), written.before, written.during, written.after, objective
    )


def _layers(*lists: Sequence[Manifest]) -> tuple[Resource, ...]:
    layers = [[resource for manifest in manifests for resource in manifest.resources] for manifests in lists]
    return tuple(merge([], *layers))


def _with_idle_faults(variants: Sequence[VariantPlan]) -> tuple[VariantPlan, ...]:
    """The variants, of which a fault of 0 % is expected too (and so found missing), where it can't be meant as the control.

    It is meant so in a sweep, and where another variant has the same fault with a percentage.
    """
    firing = frozenset[ExpectedFault]().union(
        *(part.faults for variant in variants for part in (variant, variant.phases) if part is not None)
    )
    return tuple(
        variant
        if variant.matrix
        else replace(variant, faults=variant.faults | (expected_faults(variant.put, idle=True) - firing))
        for variant in variants
    )


def expected_faults(resources: Sequence[Resource], *, idle: bool = False) -> frozenset[ExpectedFault]:
    """The faults that traffic must set off: those of the routes of VirtualServices, with a percentage above zero.

    Args:
        resources: what is applied.
        idle: those of 0 % instead, which nothing sets off.
    """
    expected = set()
    for resource in resources:
        item = known_part(resource)
        if not isinstance(item, VirtualService):
            continue
        for route in item.http:
            fault = route.fault
            if fault is None:
                continue
            hosts = tuple(sorted({full_host(part.destination.host, resource.key.namespace) for part in route.route}))
            if fault.delay is not None and bool(fault.delay.effective_percent) is not idle:
                expected.add(ExpectedFault("delay", hosts))
            if fault.abort is not None and bool(fault.abort.effective_percent) is not idle:
                expected.add(ExpectedFault("abort", hosts))
    return frozenset(expected)


def changed_keys(base: Sequence[Resource], put: Sequence[Resource]) -> tuple[list[Resource], list[ResourceKey]]:
    """What takes a mesh back from `base` with `put` over it to `base`: resources to put back, keys to delete."""
    before = {resource.key: resource for resource in base}
    back = [before[resource.key] for resource in put if resource.key in before]
    gone = [resource.key for resource in put if resource.key not in before]
    return back, gone


def workloads_of(description: MeshDescription) -> dict[str, list[str]]:
    """By service name, its workloads; each workload stands for itself too."""
    return dict(description.workloads)
