"""The run document while it grows: saved after every trial, so that a crash at any point leaves what was measured."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner import __version__
from runner.analysis.analyse import analyse
from runner.analysis.figures import figures, latency
from runner.analysis.itself import analyse_itself
from runner.analysis.phase_words import phases_headline
from runner.analysis.sweep import sweep_headline
from runner.analysis.validity import judge
from runner.analysis.validity_types import ValidityInput
from runner.conduct.phase_record import measured_phases, planned_phases, trial_phases
from runner.conduct.trial import rfc3339
from runner.errors import MeshtrialError, StoppedError, StorageError
from runner.mesh.none import shown_url
from runner.results.document.evidence import AbsentEvidence, Edge
from runner.results.document.manifest import ManifestRecord
from runner.results.document.run import GuardrailRecord, MeshRecord, RunDocument
from runner.results.document.trial import GeneratorRecord, TrialRecord
from runner.results.document.variant import VariantRecord
from runner.units import format_rate

if TYPE_CHECKING:
    from runner.analysis.analyse import Analysis
    from runner.analysis.evidence import TrialEvidence
    from runner.analysis.validity_types import Validity
    from runner.conduct.guardrails import Crossing
    from runner.conduct.plan import Plan, TrialPlan, VariantPlan
    from runner.conduct.trial import TrialOutcome
    from runner.mesh.base import MeshDescription
    from runner.results.store import RunFolder
    from runner.spec.load_profile import FortioLoad, Load


@dataclass(slots=True)
class RunRecord:
    """What a run has found so far.

    Attributes:
        plan: the run's plan.
        mesh: the mesh it runs on.
        drivers: the drivers' names and versions.
        folder: where everything is written.
        command: the command line that repeats the run.
        warnings: what was found wrong without being an error.
        restored: what was verified at the end.
    """

    plan: Plan
    mesh: MeshDescription
    drivers: dict[str, str]
    folder: RunFolder
    command: str
    warnings: list[str]
    restored: str = ""
    document: RunDocument = field(init=False)
    _trials: dict[str, list[TrialRecord]] = field(default_factory=dict)
    _evidence: list[TrialEvidence] = field(default_factory=list)
    _guardrail: GuardrailRecord | None = None

    def __post_init__(self) -> None:
        spec = self.plan.experiment.experiment
        load = self.plan.variants[0].load
        self.document = RunDocument(
            experiment=spec.experiment,
            question=spec.question if self.plan.itself is None else "What difference can this set-up see?",
            description=spec.description,
            seed=self.plan.seed,
            started=rfc3339(time.time()),
            quick=spec.quick,
            aa=self.plan.itself is not None,
            open_loop=load.arrivals is not None,
            blocks=self.plan.blocks,
            warmup_s=load.warmup,
            duration_s=load.duration,
            mesh=MeshRecord(
                kind=self.mesh.kind,
                envoy=self.mesh.envoy,
                app=self.mesh.app,
                proxies=self.mesh.proxies,
                joined=self.mesh.joined,
                url=self.mesh.url,
                istio=self.mesh.istio,
                revisions=self.mesh.revisions,
            ),
            meshtrial=__version__,
            machine=_machine(),
            versions=_versions(self.mesh.envoy) | self.drivers,
            command=self.command.replace("{seed}", str(self.plan.seed)),
            warnings=self.warnings,
            variants=[self._empty(variant) for variant in self.plan.variants],
        )

    def _empty(self, variant: VariantPlan) -> VariantRecord:
        return VariantRecord(
            name=variant.name,
            baseline=variant is self.plan.variants[0],
            closed_loop=variant.load.arrivals is None,
            manifests=[
                ManifestRecord(
                    name=manifest.name,
                    file=self.folder.add_manifest(variant.name, manifest.name, manifest.content),
                    resources=[str(resource.key) for resource in manifest.resources],
                )
                for manifest in variant.manifests
            ],
            load=load_in_words(variant.load, variant.url),
            family=variant.family,
            matrix=variant.matrix,
            phases=planned_phases(variant, self.folder),
        )

    def save(self) -> None:
        """Write `run.json` as it stands (a run that does not finish says so).

        Raises:
            StorageError: it can't be written.
        """
        self.folder.write_document(self.document)

    def judged(self, trial: TrialPlan, outcome: TrialOutcome) -> Validity:
        """Whether a trial may count."""
        return judge(
            ValidityInput(
                window=outcome.evidence.window,
                start={name: held.start for name, held in outcome.attestation.proxies.items() if held.start},
                end={name: held.end for name, held in outcome.attestation.proxies.items() if held.end},
                proxies=self.mesh.proxies,
                faults=trial.variant.faults,
                increases=outcome.evidence.increases,
                edges=outcome.file.edges,
                phases=outcome.phases.seen if outcome.phases else {},
                switches=outcome.evidence.switches,
                rate_varies=_varies(trial.variant.load),
                entry=self._entry(trial.variant),
                services=outcome.evidence.services,
                known=outcome.evidence.known,
                bare=self.mesh.bare,
                whole=self.counts_whole_windows,
            )
        )

    @property
    def counts_whole_windows(self) -> bool:
        """Whether a trial's window holds all requests that the proxies counted in it."""
        return True

    def _entry(self, variant: VariantPlan) -> list[str]:
        """The workloads where a variant's load comes in; none where a URL of its own says where."""
        if variant.url is not None:
            return []
        load = variant.load
        return self.mesh.gateways if load.at_gateway else self.mesh.workloads.get(load.source, [load.source])

    def add(self, trial: TrialPlan, outcome: TrialOutcome, validity: Validity | None = None) -> TrialRecord:
        """Keep one trial: its own file, its place in the document, and whether it may count.

        Args:
            trial: as it was planned.
            outcome: what it gave.
            validity: whether it may count; by the common rules when None.

        Raises:
            StorageError: it can't be written.
        """
        window = outcome.file.window
        validity = validity or self.judged(trial, outcome)
        outcome.evidence.valid = not validity.notes
        outcome.evidence.foreign = validity.foreign
        outcome.evidence.invalid_because = [str(note.code) for note in validity.notes]
        for record in self._trials.get(trial.variant.name, []):
            if record.block == trial.block:
                record.superseded = True
        record = TrialRecord(
            **figures([window]).model_dump(by_alias=False),
            block=trial.block,
            variant=trial.variant.name,
            attempt=outcome.file.attempt,
            started=rfc3339(window.started),
            ended=rfc3339(window.ended),
            valid=not validity.notes,
            invalid_because=[note.code for note in validity.notes],
            notes=validity.notes,
            remarks=[*outcome.remarks, *validity.remarks],
            attestation=outcome.attestation,
            generator=GeneratorRecord(
                scheduled=window.scheduled,
                cpu=window.generator_cpu,
                cores=window.generator_cores,
                qps=window.pace.qps if window.pace else 0.0,
                lag_ms=latency(window.whole().lag),
            ),
            phases=trial_phases(outcome.evidence, outcome.phases.seen if outcome.phases else {}),
        )
        record.file = self.folder.write_trial(outcome.file)
        if window.native:
            record.native = self.folder.write_native(outcome.file, window.native)
        self.folder.log(
            "trial",
            block=trial.block,
            variant=trial.variant.name,
            attempt=record.attempt,
            valid=record.valid,
            invalid_because=[str(code) for code in record.invalid_because],
            requests=record.requests,
            errors=record.errors,
        )
        self._trials.setdefault(trial.variant.name, []).append(record)
        self._evidence.append(outcome.evidence)
        for variant in self.document.variants:
            variant.trials = self._trials.get(variant.name, [])
        for name, reason in outcome.evidence.absent.items():
            if name not in {item.name for item in self.document.absent}:
                self.document.absent.append(AbsentEvidence(name=name, reason=reason))
        self.save()
        return record

    def abort(self, trial: TrialPlan, crossing: Crossing) -> None:
        """Note the guardrail that stopped the run."""
        self._guardrail = GuardrailRecord(
            rule=crossing.guardrail.text, variant=trial.variant.name, block=trial.block, observed=crossing.observed
        )

    def finish(self, error: MeshtrialError | None) -> RunDocument:
        """Analyse what was measured, decide, and write the document for the last time.

        Args:
            error: what ended the run early.

        Returns:
            The document; when the disk is full it is returned all the same, and the folder keeps the last one written.
        """
        ended = error if error is not None and not isinstance(error, StoppedError) and not self._guardrail else None
        analysis = self._analysis(str(ended) if ended else None, self._why_aborted(error))
        document = self.document
        plain = {item.name: item for item in document.variants}
        for variant in analysis.variants:
            before = plain[variant.name]
            variant.baseline, variant.closed_loop = before.baseline, before.closed_loop
            variant.manifests, variant.load, variant.trials = before.manifests, before.load, before.trials
            variant.family, variant.matrix = before.family, before.matrix
            variant.capacity_searches = before.capacity_searches
            variant.phases = measured_phases(before.phases, variant.phases)
        document.variants = analysis.variants
        document.comparisons, document.checks = analysis.comparisons, analysis.checks
        document.verdict, document.reason = analysis.verdict, analysis.reason
        document.resolution = analysis.resolution
        document.headline = analysis.headline
        if document.capacity is None:
            told = sweep_headline(document.variants) or phases_headline(document.variants)
            document.headline = told or document.headline
        document.guardrail, document.restored = self._guardrail, self.restored
        document.ended = rfc3339(time.time())
        try:
            self._add_edges()
            self.folder.write_document(document)
            self.folder.log("end", verdict=str(document.verdict), reason=document.reason, restored=document.restored)
        except StorageError:
            if error is None:
                raise
        return document

    def _analysis(self, error: str | None, aborted: str | None) -> Analysis:
        names = [variant.name for variant in self.plan.variants]
        if self.plan.itself is not None:
            return analyse_itself((names[0], names[1]), self._evidence, self.plan.itself, error=error, aborted=aborted)
        return analyse(names, self._evidence, self.plan.experiment.checks, error=error, aborted=aborted)

    def _why_aborted(self, error: MeshtrialError | None) -> str | None:
        if self._guardrail:
            return (
                f"the guardrail `{self._guardrail.rule}` stopped {self._guardrail.variant} in block "
                f"{self._guardrail.block}: {self._guardrail.observed}"
            )
        return str(error) if isinstance(error, StoppedError) else None

    def _add_edges(self) -> None:
        """Requests from workload to workload, added up over the trials that count."""
        for variant in self.document.variants:
            totals: dict[tuple[str, ...], list[float]] = {}
            samples: dict[tuple[str, ...], Edge] = {}
            for trial in variant.trials:
                if trial.superseded or not trial.valid:
                    continue
                for edge in self.folder.trial(trial.file).edges:
                    key = (edge.reporter, edge.source, edge.destination, edge.service, edge.code, edge.flags)
                    total = totals.setdefault(key, [0, 0.0, 0])
                    total[0] += edge.requests
                    if edge.duration_ms is not None:
                        total[1] += edge.duration_ms * edge.requests
                        total[2] += edge.requests
                    samples[key] = edge
            variant.edges = [
                samples[key].model_copy(
                    update={"requests": int(requests), "duration_ms": spent / timed if timed else None}
                )
                for key, (requests, spent, timed) in sorted(totals.items())
            ]


def _varies(load: Load) -> bool:
    """Whether the amount of load is meant to change within a window."""
    return load.users == "shape" or bool(load.arrivals and load.arrivals.stages)


def load_in_words(load: Load, url: str | None = None) -> str:
    """A load profile as a person says it: `20/s uniform arrivals from the gateway`, `3 users in a closed loop at http://shop/`.

    Args:
        load: the profile.
        url: where it goes, when that is a plain URL.
    """
    where = f"at {shown_url(url)}" if url else f"from {'the gateway' if load.at_gateway else load.source}"
    if load.fortio is not None:
        return f"{_fortio_in_words(load.fortio)} in a closed loop {where}"
    if load.users == "shape":
        return f"users by the loadfile's shape in a closed loop {where}"
    if load.users is not None:
        return f"{load.users} {'user' if load.users == 1 else 'users'} in a closed loop {where}"
    arrivals = load.arrivals
    if arrivals is None:
        return where
    if arrivals.rate is not None:
        return f"{format_rate(arrivals.rate)} {arrivals.distribution} arrivals {where}"
    rates = " -> ".join(format_rate(stage.rate) for stage in arrivals.stages or [])
    return f"{arrivals.distribution} arrivals in stages {rates} {where}"


def _fortio_in_words(fortio: FortioLoad) -> str:
    many = f"{fortio.connections} {'connection' if fortio.connections == 1 else 'connections'} of fortio"
    pace = f" at {format_rate(fortio.qps)} together" if fortio.qps else " as fast as they can"
    what = f" with gRPC {fortio.grpc} calls" if fortio.grpc else f" asking for {fortio.path}"
    exact = f", {fortio.requests} requests in all," if fortio.requests else ""
    return f"{many}{what}{pace}{exact}"


def _versions(envoy: str | None) -> dict[str, str]:
    return {"python": platform.python_version()} | ({"envoy": envoy} if envoy else {})


def _machine() -> dict[str, str | int]:
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 0),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
    }
