"""A whole run: open the mesh, carry out every block, restore, analyse, and leave a run folder whatever happens."""

from __future__ import annotations

import contextlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.conduct.drivers import Drivers
from runner.conduct.journal import Journal, MeshAddress
from runner.conduct.plan import make_plan
from runner.conduct.preview import checked, preview
from runner.conduct.record import RunRecord
from runner.conduct.recover import recover, reopen, verify
from runner.conduct.stopping import Stopping
from runner.conduct.trial import Conductor
from runner.errors import MeshError, MeshtrialError, OutsideError, StoppedError, StorageError
from runner.mesh.kinds import mesh_kind
from runner.results.document import Verdict
from runner.results.store import RunFolder
from runner.state import journal_home, work_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.conduct.plan import Plan, TrialPlan
    from runner.conduct.progress import Progress
    from runner.istio.resource import Resource
    from runner.mesh.base import Mesh
    from runner.results.document import RunDocument
    from runner.spec.load import LoadedExperiment


EXIT_CODES = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.ERROR: 3,
    Verdict.ABORTED: 4,
    Verdict.INCONCLUSIVE: 5,
}


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is to be carried out, beside what the experiment says.

    Attributes:
        results: the results folder.
        seed: of everything random; drawn when None.
        fresh: have a mesh of its own even when one is up.
        keep: leave the run's own mesh up after a failure.
        command: the command line, for the report; `{seed}` is filled in.
    """

    results: Path = Path("results")
    seed: int | None = None
    fresh: bool = False
    keep: bool = False
    command: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left.

    Attributes:
        folder: the run folder.
        document: what `run.json` says.
        error: what ended the run early, if something did.
    """

    folder: Path
    document: RunDocument
    error: MeshtrialError | None = None

    @property
    def exit_code(self) -> int:
        """The documented exit code: of what ended the run early, else of the verdict."""
        return self.error.exit_code if self.error else EXIT_CODES[self.document.verdict]


def run(experiment: LoadedExperiment, options: RunOptions, progress: Progress) -> RunResult:
    """Carry an experiment out.

    Everything the user wrote is checked before anything is started or touched. From the first change on, whatever happens,
    the mesh is restored and a readable run folder is left.

    Raises:
        InputError: the experiment, a manifest or the load file can't be used.
        OutsideError: the mesh or the generator could not be started.
        StoppedError: a signal came before the first trial.
    """
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    plan = make_plan(experiment, seed)
    kind = mesh_kind(experiment.experiment.mesh)
    preview(plan)
    for recovery in recover(journal_home(), reopen):
        if not recovery.gone:
            progress.message(f"restored what a dead run had left: {recovery}")
    with contextlib.ExitStack() as stack:
        stopping = stack.enter_context(Stopping())
        drivers = Drivers(plan, stack.enter_context(work_directory()))
        stack.callback(drivers.close)
        with ThreadPoolExecutor(max_workers=1) as starter:
            opening = starter.submit(kind.open, experiment.experiment.mesh, options.fresh)
            try:
                drivers.start()
            except BaseException:
                with contextlib.suppress(MeshtrialError):
                    opening.result().close()
                raise
            mesh = opening.result()
        closing = stack.enter_context(_closing(mesh))
        stopping.check()
        if mesh.describe().joined:
            progress.message(f"joined the mesh that is up ({mesh.describe().identity})")
        stack.enter_context(mesh.hold(f"meshtrial run {experiment.experiment.experiment}"))
        _all_alive(mesh)
        plan, warnings = checked(plan, mesh)
        for warning in (*experiment.warnings, *warnings):
            progress.message(f"warning: {warning}")
        result = _carry_out(plan, mesh, drivers, options, progress, stopping, list(warnings))
        if options.keep and result.error is not None and not mesh.describe().joined:
            closing.keep = True
            progress.message(f"the mesh was left up: {mesh.describe().identity}")
        return result


def _all_alive(mesh: Mesh) -> None:
    deaths = mesh.deaths()
    if deaths:
        raise MeshError(
            f"the mesh is not whole: {'; '.join(deaths)}",
            advice="End it with `meshtrial mesh down` and start it again, or use --fresh",
        )


@dataclass(slots=True)
class _Closing:
    mesh: Mesh
    keep: bool = False


@contextlib.contextmanager
def _closing(mesh: Mesh) -> Iterator[_Closing]:
    closing = _Closing(mesh)
    try:
        yield closing
    finally:
        if closing.keep:
            mesh.leave_running()
        else:
            mesh.close()


def _carry_out(
    plan: Plan,
    mesh: Mesh,
    drivers: Drivers,
    options: RunOptions,
    progress: Progress,
    stopping: Stopping,
    warnings: list[str],
) -> RunResult:
    experiment = plan.experiment.experiment
    folder = RunFolder.create(options.results, experiment.experiment, secrets=plan.experiment.secrets)
    record = RunRecord(plan, mesh.describe(), drivers.versions(), folder, options.command, warnings)
    record.save()
    description = mesh.describe()
    snapshot = mesh.applied()
    before = mesh.versions()
    journal = Journal.begin(
        journal_home(), MeshAddress(description.kind, description.identity), snapshot, folder.path.resolve()
    )
    conductor = Conductor(plan, mesh, drivers.by_variant, journal, progress, stopping)
    error: MeshtrialError | None = None
    try:
        _blocks(plan, conductor, record, progress)
    except MeshtrialError as caught:
        error = caught
    except OSError as caught:
        error = StorageError(
            f"{caught.filename or 'a file'}: {caught.strerror or caught}", advice="Free space and run again"
        )
    record.restored = _restore(mesh, snapshot, before, journal)
    if isinstance(error, OutsideError):
        error.restored = record.restored
    elif isinstance(error, StoppedError):
        error = StoppedError(error.signal_number, record.restored)
    document = record.finish(error)
    return RunResult(folder.path, document, error)


def _blocks(plan: Plan, conductor: Conductor, record: RunRecord, progress: Progress) -> None:
    for block in range(1, plan.blocks + 1):
        order = plan.order(block)
        if _block(order, 1, conductor, record, progress):
            continue
        progress.message(f"block {block} had an invalid trial and runs once more")
        conductor.done -= len(order)
        _block(order, 2, conductor, record, progress)


def _block(order: list[TrialPlan], attempt: int, conductor: Conductor, record: RunRecord, progress: Progress) -> bool:
    valid = True
    for trial in order:
        outcome = conductor.run(trial, attempt)
        kept = record.add(trial, outcome)
        progress.trial(kept)
        valid = valid and kept.valid
        deaths = conductor.mesh.deaths()
        if deaths:
            raise MeshError(
                f"{'; '.join(deaths)} during {trial.variant.name}, block {trial.block}",
                advice="What was measured before is in the run folder",
            )
        if outcome.crossing:
            record.abort(trial, outcome.crossing)
            raise GuardrailCrossedError
    return valid


class GuardrailCrossedError(MeshtrialError):
    """A guardrail ended the load; the verdict says so."""

    exit_code = 4


def _restore(mesh: Mesh, snapshot: list[Resource], before: dict[str, str], journal: Journal) -> str:
    """Verify, after the last trial, that the mesh is as it was; the journal goes only then."""
    try:
        mesh.restore(snapshot)
        verify(
            mesh, snapshot, [item.key for item in mesh.applied() if item.key not in {entry.key for entry in snapshot}]
        )
        now = mesh.versions()
    except OutsideError as error:
        journal.abandon()
        return f"not verified ({error}); the journal was kept for `meshtrial recover`"
    wrong = [proxy for proxy, version in before.items() if now.get(proxy) not in {version, None}]
    if wrong:
        journal.abandon()
        return f"not restored on {', '.join(wrong)}; the journal was kept for `meshtrial recover`"
    journal.restored()
    silent = [proxy for proxy in before if proxy not in now]
    verified = len(before) - len(silent)
    text = f"the mesh holds what it held before, verified on {verified} {'proxy' if verified == 1 else 'proxies'}"
    return text + (f" ({', '.join(silent)} did not answer)" if silent else "")
