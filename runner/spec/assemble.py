"""The parts of an expanded file put together: each validated, its files found, the command line's options applied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import Position, Problem
from runner.spec.bounds import too_many_blocks, too_much
from runner.spec.checks import Check, Condition, Guardrail, blocks_needed, count_tests
from runner.spec.comparable import across_loops, other_amounts, too_few_answers
from runner.spec.expectations import Source, read_checks, read_guardrails, read_objective, without_phases
from runner.spec.files import Folder, check_python
from runner.spec.load_profile import Load
from runner.spec.mesh import ClusterMesh, LocalMesh, MeshChoice, NoMesh
from runner.spec.mesh_fit import ignored_by_mesh, watched_blindly, watched_by_nobody
from runner.spec.metrics import Metric
from runner.spec.model import Experiment, Variant
from runner.spec.phase_fit import fitted, read_phases, short_phases
from runner.spec.raw import ExperimentFile, Settings, VariantFile, VariantSettings
from runner.spec.validation import known_keys, read_part
from runner.spec.variants import spell
from runner.yamlfile.documents import Document
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.spec.overrides import Overrides
    from runner.spec.variants import ExpandedVariant, Expansion

_MESHES: dict[str, type[LocalMesh | ClusterMesh | NoMesh]] = {"app": LocalMesh, "cluster": ClusterMesh, "none": NoMesh}
_MESH_FORMS = "{app: bookinfo} (the embedded mesh), {cluster: {context: ..., namespace: ...}} or {none: {url: ...}}"


@dataclass(frozen=True, slots=True)
class Assembled:
    """An experiment and what belongs to it; `runner.spec.load.LoadedExperiment` tells what each is."""

    experiment: Experiment
    checks: list[Check]
    guardrails: list[Guardrail]
    objective: tuple[Condition, ...]
    document: Document
    warnings: list[str]
    phase_objectives: dict[str, tuple[Condition, ...]]


@dataclass(slots=True)
class Assembler:
    """The steps from an expanded file to an experiment; problems go to the expansion's findings.

    Attributes:
        path: the experiment file.
        document: the file as written.
        expansion: the file expanded.
        source: the file's lines.
        overrides: the command line's options.
    """

    path: Path
    document: Document
    expansion: Expansion
    source: Source
    overrides: Overrides

    def assemble(self) -> Assembled | None:
        """The experiment; None when there are problems."""
        findings, settings = self.expansion.findings, self.expansion.settings
        folder = Folder(self.path.parent, findings)
        known = known_keys(ExperimentFile, settings, (), settings.data, findings)
        part = {key: value for key, value in known.items() if key in Settings.model_fields and value is not None}
        read = {key: read_part(Settings, {key: value}, settings, (), findings) for key, value in part.items()}
        whole = Settings() if None in read.values() else Settings.model_validate(part)
        entries = setup.setup if (setup := read.get("setup")) else []
        setup_files = [self._manifest(entry, settings, ("setup", index), folder) for index, entry in enumerate(entries)]
        mesh = self._mesh(known.get("mesh"), folder)
        variants = {variant.name: self._variant(variant, folder) for variant in self.expansion.variants}
        if any(not variant.has_load for variant in self.expansion.variants) and self.document.data.get("load") is None:
            findings.add(Problem('"load" is missing', self.document.position(("load",)), "load: {locust: {file: ...}}"))
        collect = part.get("collect")
        promql = collect.get("promql") if isinstance(collect, dict) else None
        names = list(promql) if isinstance(promql, dict) else []
        checks = read_checks(self.document, self.expansion, self.source, names)
        guardrails = read_guardrails(part.get("stop_if"), settings, self.expansion, self.source)
        kept = self.overrides.kept(self.expansion.variants, findings)
        blocks = self.overrides.blocks_for(whole.blocks, findings)
        capacity = whole.capacity
        objective = read_objective(capacity.objective, settings, self.expansion, self.source) if capacity else ()
        complete = {name: variant for name, variant in variants.items() if variant is not None and name in kept}
        if mesh is not None:
            if isinstance(mesh, NoMesh) and whole.setup:
                where = self.document.position(("setup",), key=True)
                findings.add(Problem("a mesh of kind none applies nothing", where, "no setup"))
            documents = {variant.name: variant.document for variant in self.expansion.variants}
            findings.add(*ignored_by_mesh(mesh, complete, documents))
            findings.add(*watched_by_nobody(mesh, guardrails))
            findings.add(*watched_blindly(guardrails, complete, documents))
        findings.add(*self._out_of_bounds(blocks, complete))
        if not findings.problems:
            findings.add(*without_phases(checks, {name: variant.phases for name, variant in complete.items()}))
            findings.add(*across_loops(checks, complete))
        phase_objectives = {
            variant.name: read_objective(phases.objective, variant.document, self.expansion, self.source, "phases")
            for variant in self.expansion.variants
            if (known_variant := complete.get(variant.name))
            and (phases := known_variant.phases)
            and phases.objective is not None
        }
        if findings.problems or mesh is None:
            return None
        checks = [
            check for check in checks if check.variant in kept and (check.baseline is None or check.baseline in kept)
        ]
        by_key: dict[str, list[str]] = {}
        for check in checks:
            by_key.setdefault(f"{check.variant} vs {check.baseline}" if check.baseline else check.variant, []).append(
                check.text
            )
        experiment = Experiment(
            experiment=whole.experiment or self.path.stem,
            question=whole.question,
            description=whole.description,
            mesh=mesh,
            setup=setup_files,
            variants=complete,
            blocks=blocks,
            quick=self.overrides.quick,
            collect=whole.collect,
            stop_if=whole.stop_if,
            checks=by_key,
            capacity=whole.capacity,
            env=whole.env,
        )
        return Assembled(
            experiment,
            checks,
            guardrails,
            objective,
            self._expanded(by_key),
            self._warnings(experiment, checks),
            phase_objectives,
        )

    def _mesh(self, data: Any, folder: Folder) -> MeshChoice | None:
        """The mesh, chosen by its one key, so that a slip gives one clear message."""
        findings, settings, loc = self.expansion.findings, self.expansion.settings, ("mesh",)
        if data is None or data == {}:
            return self.overrides.mesh_for(LocalMesh(), findings)
        if not isinstance(data, dict):
            hint = {"cluster": "Write mesh: {cluster: {}}", "local": "Write mesh: {app: bookinfo}"}.get(str(data))
            findings.add(Problem("mesh should be a mapping", settings.position(loc), _MESH_FORMS, hint))
            return None
        wrong = [key for key in data if key not in _MESHES]
        for key in wrong:
            hint = "The embedded mesh is {app: bookinfo}" if key == "local" else suggest(key, _MESHES)
            findings.add(
                Problem(
                    f'no kind of mesh is called "{key}"', settings.position((*loc, key), key=True), _MESH_FORMS, hint
                )
            )
        if not wrong and len(data) > 1:
            kinds = " and ".join(data)
            findings.add(Problem(f"mesh takes one kind, and has {kinds}", settings.position(loc), _MESH_FORMS))
        if wrong or len(data) > 1:
            return None
        mesh = read_part(_MESHES[next(iter(data))], data, settings, loc, findings)
        if mesh is None:
            return None
        if isinstance(mesh, LocalMesh):
            mesh.app = self._app(mesh.app, settings.position((*loc, "app")), folder)
        elif isinstance(mesh, ClusterMesh):
            mesh.cluster.app = self._app(mesh.cluster.app, settings.position((*loc, "cluster", "app")), folder)
        return self.overrides.mesh_for(mesh, findings)

    def _app(self, app: str, where: Position, folder: Folder) -> str:
        """A shipped app's name, or the absolute path of an app file."""
        if "/" in app or app.endswith((".yaml", ".yml")):
            return str(folder.file(app, where, "an app file").absolute())
        return app

    def _variant(self, expanded: ExpandedVariant, folder: Folder) -> Variant | None:
        findings, document = self.expansion.findings, expanded.document
        data = known_keys(VariantFile, document, (), document.data, findings)
        own = {key: value for key, value in data.items() if key not in {"load", "phases"} and value is not None}
        settings = read_part(VariantSettings, own, document, (), findings)
        load = None
        if "load" in data and not self.expansion.load_broken:
            load = read_part(Load, data["load"], document, ("load",), findings)
        phases = read_phases(data.get("phases"), document, findings)
        if settings is None or load is None:
            return None
        load.mark_secret(expanded.secret_headers)
        if load.locust:
            where = document.position(("load", "locust", "file"))
            loadfile = folder.file(load.locust.file, where, "a loadfile")
            check_python(loadfile, where, findings)
            load.locust.file = loadfile.absolute()
        for name, what in (("binary", "fortio's program"), ("payload_file", "a file to send")):
            if load.fortio and (written := getattr(load.fortio, name)) is not None:
                place = document.position(("load", "fortio", name))
                setattr(load.fortio, name, folder.file(written, place, what).absolute())
        for name in ("ca", "certificate", "key"):
            if load.tls and (written := getattr(load.tls, name)) is not None:
                setattr(
                    load.tls,
                    name,
                    folder.file(written, document.position(("load", "tls", name)), "a PEM file").absolute(),
                )
        apply = [
            self._manifest(entry, document, ("apply", index), folder) for index, entry in enumerate(settings.apply)
        ]
        if phases is not None:
            phases.apply = [
                self._manifest(entry, document, ("phases", "apply", index), folder)
                for index, entry in enumerate(phases.apply)
            ]
        load, phases = fitted(load, phases, document, self.overrides, findings)
        return Variant(
            name=expanded.name,
            apply=apply,
            url=settings.url,
            load=load,
            phases=phases,
            family=expanded.key,
            matrix={axis: spell(value) for axis, value in expanded.axes.items()},
        )

    def _manifest(
        self, entry: Path | dict[str, Any], document: Document, loc: tuple[str | int, ...], folder: Folder
    ) -> Path | dict[str, Any]:
        return folder.file(entry, document.position(loc), "a manifest") if isinstance(entry, Path) else entry

    def _out_of_bounds(self, blocks: int, variants: Mapping[str, Variant]) -> Iterator[Problem]:
        """What is too much to be meant, at its place unless an option asked for it."""
        if problem := too_many_blocks(blocks):
            where = self.expansion.settings.position(("blocks",))
            yield problem if self.overrides.blocks else replace(problem, where=where)
        documents = {variant.name: variant.document for variant in self.expansion.variants}
        for name, variant in variants.items():
            for loc, problem in too_much(variant.load):
                by_option = loc[-1] == "duration" and self.overrides.duration is not None
                yield problem if by_option else replace(problem, where=documents[name].position(("load", *loc)))

    def _expanded(self, checks: dict[str, list[str]]) -> Document:
        """The expanded file as one document."""
        settings = self.expansion.settings
        values, keys = dict(settings.values), dict(settings.keys)
        for variant in self.expansion.variants:
            way = ("variants", variant.name)
            values.update({(*way, *loc): place for loc, place in variant.document.values.items()})
            keys.update({(*way, *loc): place for loc, place in variant.document.keys.items()})
            keys[way] = variant.place
        variants = {variant.name: variant.document.data for variant in self.expansion.variants}
        return Document(settings.file, {**settings.data, "variants": variants, "checks": checks}, values, keys)

    def _said_blocks(self) -> str:
        """What says how many blocks there are: an option, or the file at its place."""
        if self.overrides.blocks is not None:
            return f"--blocks {self.overrides.blocks}"
        return "--quick" if self.overrides.quick else str(self.document.position(("blocks",)))

    def _warnings(self, experiment: Experiment, checks: list[Check]) -> list[str]:
        warnings = []
        if not checks and experiment.capacity is None:
            warnings.append(f"{self.path}: no checks, so the run measures and its verdict is inconclusive")
        tests = count_tests(checks)
        needed = blocks_needed(tests)
        if tests and experiment.blocks < needed:
            said = self._said_blocks()
            many = "1 comparison" if tests == 1 else f"{tests} comparisons"
            warnings.append(
                f"{said}: {experiment.blocks} {'block' if experiment.blocks == 1 else 'blocks'} can't decide {many}: "
                f"inconclusive with fewer than {needed} blocks"
            )
        warnings += short_phases(experiment, {one.name: one.document for one in self.expansion.variants})
        loads = {one.name: one.document.position(("load", "arrivals")) for one in self.expansion.variants}
        warnings += other_amounts(checks, experiment.variants, loads)
        warnings += too_few_answers(checks, experiment.variants)
        for axis in self.expansion.unused_axes:
            where = self.document.position(("matrix", axis), key=True)
            warnings.append(f"{where}: no variant uses the matrix variable {axis}")
        on_proxies = [
            str(check)
            for check in checks
            for metric in (check.metric, check.operand)
            if isinstance(metric, Metric) and metric.name == "proxy"
        ]
        if isinstance(experiment.mesh, NoMesh) and on_proxies:
            warnings.append(
                f"{self.path}: a mesh of kind none has no proxies, so `{on_proxies[0]}` will be inconclusive"
                + (f", and {len(on_proxies) - 1} more" if len(on_proxies) > 1 else "")
            )
        if experiment.capacity is None and any(check.metric.name == "capacity" for check in checks):
            warnings.append(f"{self.path}: checks on capacity are inconclusive without a capacity search")
        return warnings
