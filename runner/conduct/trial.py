"""One trial: apply, confirm, warm up, measure, collect, restore. Whatever happens in between, the restore happens."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from runner.analysis.evidence import TrialEvidence
from runner.conduct.guardrails import GuardrailWatch
from runner.conduct.phase_record import PhasesSeen, phases_seen
from runner.conduct.phases import Switcher, drive_switched
from runner.conduct.plan import changed_keys, trial_seconds
from runner.conduct.progress import Step
from runner.conduct.proxy_reading import read_quiet, read_texts
from runner.conduct.restoring import ADVICE, disturbed, kept_metadata, put_back
from runner.conduct.telemetry import TelemetryReader, TelemetrySeen
from runner.conduct.undo import note
from runner.errors import MeshError, OutsideError
from runner.istio.load import merge
from runner.load.base import Target, WindowPlan
from runner.mesh.none import NO_PROXIES
from runner.probes import access_log, istio_metrics, proxy_stats
from runner.results.counters import by_workload, increases
from runner.results.document.attestation import Attestation, ProxyVersions
from runner.results.document.evidence import AbsentEvidence
from runner.results.trial import TrialFile
from runner.spec.metrics import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runner.conduct.guardrails import Crossing
    from runner.conduct.journal import Journal, NoJournal
    from runner.conduct.plan import Plan, TrialPlan, VariantPlan
    from runner.conduct.progress import Progress
    from runner.conduct.proxy_reading import ProxyReading, ProxyTexts
    from runner.conduct.stopping import Stopping
    from runner.conduct.undo import Written
    from runner.istio.resource import Resource, ResourceKey
    from runner.load.base import Driver
    from runner.mesh.base import GeneratorHost, Mesh
    from runner.results.window import Second, Window

QUIET_LIMIT = 12.0
"""The longest wait, in seconds, for requests that the proxies still handle after the load has drained (a caller may have given up
on a request that a fault still holds)."""

ACCESS_LOG_SAMPLE = 40

_POLL = 0.01


@dataclass(slots=True)
class TrialOutcome:
    """What one trial gave.

    Attributes:
        file: everything that was read.
        evidence: the same, as analysis wants it.
        attestation: which proxy held what at both edges, and which faults fired.
        crossing: the guardrail that ended the load, if one did.
        remarks: what could not be had.
        phases: what each phase showed; None without phases.
    """

    file: TrialFile
    evidence: TrialEvidence
    attestation: Attestation
    crossing: Crossing | None = None
    remarks: list[str] = field(default_factory=list)
    phases: PhasesSeen | None = None


@dataclass(slots=True)
class Conductor:
    """Carries trials out on one mesh.

    Attributes:
        plan: the run's plan, with the mesh's base state in it.
        mesh: the mesh, held by this run.
        drivers: by variant.
        journal: announced to before every change.
        progress: told of every phase.
        stopping: looked at between phases, and by the driver while load runs.
        done: trials that are over.
        seconds: about how long a trial takes, where its load does not say so.
        inside: variants whose load is made in pods of the mesh.
    """

    plan: Plan
    mesh: Mesh
    drivers: Mapping[str, Driver]
    journal: Journal | NoJournal
    progress: Progress
    stopping: Stopping
    done: int = 0
    seconds: float | None = None
    inside: frozenset[str] = frozenset()
    _proxies: list[str] = field(default_factory=list)
    _services: dict[str, list[str]] = field(default_factory=dict)
    _telemetry: TelemetryReader = field(init=False)
    _absent_counters: list[AbsentEvidence] = field(default_factory=list)
    _written: Written = field(default_factory=dict)
    _shared: bool = False
    """Whether others can change the mesh while it is held."""

    def __post_init__(self) -> None:
        description = self.mesh.describe()
        self._proxies = description.proxies
        self._services = description.workloads
        self._shared = description.kind == "cluster"
        spec = self.plan.experiment
        self._telemetry = TelemetryReader(self.mesh, spec.experiment.collect.promql)
        asked = any(
            isinstance(metric, Metric) and metric.name == "proxy"
            for check in spec.checks
            for metric in (check.metric, check.operand)
        )
        if asked and not description.proxies:
            self._absent_counters = [AbsentEvidence(name="proxy", reason=NO_PROXIES)]

    def run(self, trial: TrialPlan, attempt: int) -> TrialOutcome:
        """Carry one trial out; the mesh holds its base again when this returns or raises.

        Raises:
            MeshError: the mesh did not do its part, or could not be restored (the journal is kept then).
            DriverError: the generator did not do its part.
            StoppedError: a signal came; everything was restored.
        """
        with self.applied(trial):
            return self.measure(trial, attempt)

    @contextlib.contextmanager
    def applied(self, trial: TrialPlan) -> Iterator[None]:
        """Have the mesh hold the variant of `trial`; it holds its base again afterwards, whatever happens.

        Raises:
            MeshError: the mesh did not do its part, or could not be restored (the journal is kept then).
        """
        variant, whole = trial.variant, False
        self._step("apply", trial, 0)
        self._telemetry.applying()
        self._written = {}
        self._announce(variant.put, ())
        try:
            self.mesh.apply(variant.put, ())
            whole = True
            yield
        finally:
            self._step("restore", trial, 0)
            self._restore(trial, whole=whole)
            self.done += 1

    def _announce(self, put: Sequence[Resource], delete: Sequence[ResourceKey]) -> None:
        self.journal.intend(put, delete)
        note(self._written, put, delete)

    def _restore(self, trial: TrialPlan, *, whole: bool) -> None:
        """Give the mesh its base back; `whole` says that all of the variant was applied.

        Raises:
            MeshError: it could not be done, or somebody changed what the run had applied: a run does not go on over that.
        """
        before = {item.key: item for item in self.plan.base}
        try:
            work = put_back(self.mesh, before, self._written)
        except OutsideError as error:
            raise MeshError(
                f"the mesh could not be restored after {trial.variant.name}: {error}",
                advice="Run `meshtrial recover`; the journal was kept",
            ) from error
        for said in kept_metadata(work):
            self.progress.message(f"warning: {said}")
        self.plan = replace(self.plan, base=tuple(merge(self.plan.base, work.put)))
        if not (whole and self._shared):
            work = replace(work, as_before=[])
        changes = disturbed(self.mesh, work, before)
        if changes:
            raise MeshError(
                f"{'; '.join(changes)} while this run had it ({trial.variant.name}, block {trial.block})", advice=ADVICE
            )

    def measure(self, trial: TrialPlan, attempt: int, enough: Callable[[Second], bool] | None = None) -> TrialOutcome:
        """Warm up and measure one window; the mesh holds the variant already.

        Args:
            trial: whose load to drive.
            attempt: 1, or 2 when the block runs again.
            enough: looks at every second of the measured window; true ends the load.

        Raises:
            DriverError: the generator did not do its part.
            StoppedError: a signal came.
        """
        variant, load = trial.variant, trial.variant.load
        driver = self.drivers[variant.name]
        watch = GuardrailWatch(self.plan.experiment.guardrails, self._counters_by_workload, self._services)
        crossings: list[Crossing] = []
        measuring = False
        switcher = self._switcher(trial)

        def see(second: Second) -> None:
            self.progress.second(second)
            crossing = watch.see(second)
            if crossing:
                crossings.append(crossing)
            if crossing or (measuring and enough is not None and enough(second)):
                self.stopping.event.set()

        def drive(phase: str, seconds: float, seed: int) -> Window:
            self._step(phase, trial, seconds)
            watch.begin()
            plan = self._window_plan(variant, seconds, seed, warming=not measuring)
            window = drive_switched(driver, plan, see, self.stopping.event, switcher if measuring else None)
            self.stopping.check()
            return window

        self.stopping.check()
        warmup = drive("warm up", load.warmup, trial.seed + 1) if load.warmup else None
        if crossings:
            self.stopping.event.clear()
            return self._cut_short(trial, attempt, warmup, crossings[0])
        remarks = self._wait_quiet()
        if self._telemetry.waits:
            self._step("scrape", trial, 0)
            self._read()  # Envoy merges its histograms when it is asked: only then does Prometheus see all of them
        edge = self._telemetry.before(self.stopping.check)
        before = self._read()
        measuring = True
        window = drive("measure", load.duration, trial.seed)
        self.stopping.calm()  # also where `enough` came with the last second, too late to end anything
        self._step("collect", trial, 0)
        remarks += self._wait_quiet()
        after = self._read()
        if self._telemetry.waits:
            self._step("scrape", trial, 0)
        seen = self._telemetry.after(edge, window, self.stopping.check)
        outcome = self._outcome(trial, attempt, warmup, window, before, after, crossings, remarks, seen)
        self._add_phases(outcome, switcher, (before, after))
        return outcome

    def _switcher(self, trial: TrialPlan) -> Switcher[ProxyTexts] | None:
        variant = trial.variant
        if variant.phases is None:
            return None

        def change(put: Sequence[Resource], delete: Sequence[ResourceKey]) -> dict[str, str]:
            self._announce(put, delete)
            return self.mesh.apply(put, delete)

        back = changed_keys(self.plan.state(variant), variant.phases.put)
        seconds = variant.load.duration
        return Switcher(
            variant.phases,
            back,
            change,
            lambda: read_texts(self.mesh),
            self.stopping.event,
            lambda phase: self._step(f"measure, {phase}", trial, seconds),
        )

    def _add_phases(
        self, outcome: TrialOutcome, switcher: Switcher[ProxyTexts] | None, edges: tuple[ProxyReading, ProxyReading]
    ) -> None:
        if switcher is None:
            return
        window = outcome.file.window
        outcome.phases = phases_seen(switcher, window, edges, self._proxies, self.mesh.workload_of)
        if outcome.phases is not None:
            outcome.file.switches = outcome.evidence.switches = outcome.phases.switches
            outcome.remarks += outcome.phases.remarks
        outcome.evidence.objective = switcher.phases.objective

    def _window_plan(self, variant: VariantPlan, seconds: float, seed: int, *, warming: bool) -> WindowPlan:
        load = variant.load
        arrivals = load.arrivals.opening(seconds) if load.arrivals and warming else load.arrivals
        inside = variant.name in self.inside
        enter = cast("GeneratorHost", self.mesh).entry_inside if inside else self.mesh.entry
        entry = enter(load.source, load.host)
        headers = {**entry.headers, **load.headers}
        target = Target(variant.url or entry.url, headers, load.tls, load.secret_headers, entry.command)
        return WindowPlan(target, seconds, seed, arrivals, load.users)

    def _outcome(
        self,
        trial: TrialPlan,
        attempt: int,
        warmup: Window | None,
        window: Window,
        before: ProxyReading,
        after: ProxyReading,
        crossings: list[Crossing],
        remarks: list[str],
        seen: TelemetrySeen,
    ) -> TrialOutcome:
        moved = by_workload(increases(before.counters, after.counters), self.mesh.workload_of)
        lines = self.mesh.access_log(window.started, window.ended)
        file = TrialFile(
            variant=trial.variant.name,
            block=trial.block,
            attempt=attempt,
            window=window,
            warmup=warmup,
            stats_before=before.counters,
            stats_after=after.counters,
            edges=istio_metrics.edges(before.requests, after.requests),
            access_log=access_log.sample(lines, ACCESS_LOG_SAMPLE),
            promql=seen.promql,
            applying=seen.applying,
            control_plane=seen.control_plane,
            usage=seen.usage,
        )
        evidence = TrialEvidence(
            block=trial.block,
            attempt=attempt,
            variant=trial.variant.name,
            window=window,
            increases=moved,
            known={self.mesh.workload_of(proxy): frozenset(names) for proxy, names in after.counters.items()},
            services=self._services,
            promql=file.promql,
            absent={**seen.absent, **{item.name: item.reason for item in self._absent_counters}},
            setting=setting_of(trial.variant, before.versions),
        )
        attestation = Attestation(
            proxies={
                proxy: ProxyVersions(start=before.versions.get(proxy, ""), end=after.versions.get(proxy, ""))
                for proxy in self._proxies
            },
            faults=proxy_stats.fault_counters(moved),
        )
        return TrialOutcome(file, evidence, attestation, crossings[0] if crossings else None, [*remarks, *seen.remarks])

    def _cut_short(self, trial: TrialPlan, attempt: int, warmup: Window | None, crossing: Crossing) -> TrialOutcome:
        if warmup is None:
            raise RuntimeError("a guardrail was crossed in a warm-up that never was")
        reading = self._read()
        return self._outcome(trial, attempt, None, warmup, reading, reading, [crossing], [], TelemetrySeen())

    def _read(self) -> ProxyReading:
        return read_quiet(self.mesh)

    def _counters_by_workload(self) -> dict[str, dict[str, int]]:
        return by_workload(proxy_stats.read(self.mesh.admin), self.mesh.workload_of)

    def _wait_quiet(self) -> list[str]:
        deadline = time.monotonic() + QUIET_LIMIT
        while not proxy_stats.is_quiet(self.mesh.admin):
            if time.monotonic() > deadline:
                return [f"the proxies still had requests under way {QUIET_LIMIT:.0f} s after the load had drained"]
            time.sleep(_POLL)
            self.stopping.check()
        return []

    def _step(self, phase: str, trial: TrialPlan, seconds: float) -> None:
        trials = self.plan.blocks * len(self.plan.variants)
        each = trial_seconds(trial.variant.load) if self.seconds is None else self.seconds
        self.progress.step(
            Step(
                phase=phase,
                variant=trial.variant.name,
                block=trial.block,
                blocks=self.plan.blocks,
                trial=min(self.done + 1, trials),
                trials=trials,
                seconds=seconds,
                left=max(0.0, (trials - self.done) * each),
            )
        )


def setting_of(variant: VariantPlan, versions: Mapping[str, str]) -> str:
    """All that two trials may differ by: the load, where it goes, and what every proxy holds."""
    switched = sorted(resource.canonical() for resource in variant.phases.put) if variant.phases else []
    return f"{variant.load.model_dump_json(by_alias=True)} {variant.url} {sorted(versions.items())} {switched}"


def rfc3339(moment: float) -> str:
    """A wall-clock time (seconds since the epoch) as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
