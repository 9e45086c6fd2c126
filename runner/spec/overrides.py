"""What the command line changes about an experiment: `--quick`, `--blocks`, `--duration`, `--only`, `--mesh`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from runner.errors import Problem
from runner.spec.expectations import names_of, variants_named
from runner.spec.mesh import ClusterMesh, ClusterTarget, LocalMesh, MeshChoice, NoMesh
from runner.spec.templates import Findings
from runner.units import parse_duration
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.spec.load_profile import Arrivals, Load
    from runner.spec.phases import Phases
    from runner.spec.variants import ExpandedVariant

QUICK_BLOCKS = 6
QUICK_WARMUP = 1.0
QUICK_DURATION = 4.0
QUICK_PHASE = 4.0
QUICK_RATE = 30.0
"""`--quick` on the design page: about 90 s for two variants."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """Options of a command that win over the file.

    Attributes:
        quick: 6 blocks, 1 s of warm-up, 4 s of measurement (of each phase, where there are phases), arrivals at 30/s or more;
            the other options win over it.
        blocks: how often every variant runs.
        duration: of the measured window, as typed: `20s`. Stages and phases are stretched to it.
        warmup: as typed: `5s`.
        only: names of the variants to keep, none for all; a name that the matrix expanded means all its expansions.
        mesh: the kind of mesh.
        context: the cluster's context.
        namespace: the cluster's namespace.
    """

    quick: bool = False
    blocks: int | None = None
    duration: str | None = None
    warmup: str | None = None
    only: tuple[str, ...] = ()
    mesh: Literal["local", "cluster", "none"] | None = None
    context: str | None = None
    namespace: str | None = None

    def mesh_for(self, written: MeshChoice, findings: Findings) -> MeshChoice:
        """The mesh to use instead of the file's."""
        named = written.cluster if isinstance(written, ClusterMesh) else written
        app = (  # only one that the file names: into a namespace where others are at work nothing is brought that nobody asked for
            {"app": named.app}
            if isinstance(named, LocalMesh | ClusterTarget) and "app" in named.model_fields_set
            else {}
        )
        mesh = written
        if self.mesh == "local" and not isinstance(written, LocalMesh):
            mesh = LocalMesh(**app)
        elif self.mesh == "cluster" and not isinstance(written, ClusterMesh):
            mesh = ClusterMesh(cluster=ClusterTarget(**app))
        elif self.mesh == "none" and not isinstance(written, NoMesh):
            findings.add(Problem("--mesh none needs a URL", None, "mesh: {none: {url: ...}} in the experiment file"))
        if self.context is None and self.namespace is None:
            return mesh
        if not isinstance(mesh, ClusterMesh):
            findings.add(Problem("--context and --namespace are for a cluster", None, None, "Add --mesh cluster"))
            return mesh
        changes = {
            name: value
            for name, value in (("context", self.context), ("namespace", self.namespace))
            if value is not None
        }
        return ClusterMesh(cluster=mesh.cluster.model_copy(update=changes))

    def blocks_for(self, written: int, findings: Findings) -> int:
        """The number of blocks to run."""
        if self.blocks is not None:
            if self.blocks < 1:
                findings.add(Problem(f"--blocks {self.blocks}: must be 1 or more"))
            return self.blocks
        return QUICK_BLOCKS if self.quick else written

    def load_for(self, written: Load, findings: Findings) -> Load:
        """A variant's load, shortened or lengthened (but an exact number of requests); the file's is left as it is."""
        duration = _seconds("--duration", self.duration, findings, least=True)
        warmup = _seconds("--warmup", self.warmup, findings)
        if self.quick:
            duration = QUICK_DURATION if duration is None else duration
            warmup = QUICK_WARMUP if warmup is None else warmup
        load = written.model_copy()
        if load.exact:
            return load
        if warmup is not None:
            load.warmup = warmup
        if duration is not None and duration > 0:
            if load.arrivals is not None:
                load.arrivals = _stretch(load.arrivals, duration)
            load.duration = duration
        if self.quick and load.arrivals is not None:
            load.arrivals = _at_least(load.arrivals, QUICK_RATE)
        return load

    def phases_for(self, written: Phases) -> Phases:
        """A variant's phases, shortened or lengthened as the measured window is; a wrong `--duration` is told by `load_for`."""
        duration = _seconds("--duration", self.duration, Findings(), least=True)
        if duration:
            return written.lasting(duration)
        return written.each(QUICK_PHASE) if self.quick else written

    def kept(self, variants: Sequence[ExpandedVariant], findings: Findings) -> set[str]:
        """Names of the variants to run."""
        if not self.only:
            return {variant.name for variant in variants}
        kept: set[str] = set()
        for word in self.only:
            named, _ = variants_named(word, variants)
            if not named:
                names = names_of(variants)
                findings.add(
                    Problem(
                        f'--only {word}: no variant "{word}"', None, "one of " + ", ".join(names), suggest(word, names)
                    )
                )
            kept |= {variant.name for variant in named}
        return kept


def _seconds(option: str, text: str | None, findings: Findings, *, least: bool = False) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        findings.add(Problem(f"{option}: {error}"))
        return None
    if seconds == float("inf") or (least and seconds <= 0):
        findings.add(Problem(f"{option} {text}: must be more than zero, and finite"))
        return None
    return seconds


def _stretch(arrivals: Arrivals, seconds: float) -> Arrivals:
    """Stages that last `seconds` altogether, their shape kept."""
    if not arrivals.stages:
        return arrivals
    scale = seconds / sum(stage.duration for stage in arrivals.stages)
    stages = [stage.model_copy(update={"duration": stage.duration * scale}) for stage in arrivals.stages]
    return arrivals.model_copy(update={"stages": stages})


def _at_least(arrivals: Arrivals, rate: float) -> Arrivals:
    """Arrivals whose rate, or whose stages' greatest rate, is `rate` or more, their shape kept."""
    if arrivals.rate is not None:
        return arrivals.model_copy(update={"rate": max(arrivals.rate, rate)})
    stages = arrivals.stages or []
    scale = max(1.0, rate / max(stage.rate for stage in stages))
    return arrivals.model_copy(
        update={"stages": [stage.model_copy(update={"rate": stage.rate * scale}) for stage in stages]}
    )
