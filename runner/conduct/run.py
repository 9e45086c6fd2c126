"""A whole run: open the mesh, carry out every block, restore, analyse, and leave a run folder whatever happens."""

from __future__ import annotations

import contextlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.conduct.app import provided_app
from runner.conduct.drivers import Drivers
from runner.conduct.generators import announced, provided_generators
from runner.conduct.journal import Journal, MeshAddress, NoJournal
from runner.conduct.mending import died_during, mended
from runner.conduct.meshes import Meshes
from runner.conduct.plan import make_plan
from runner.conduct.preview import checked, preview
from runner.conduct.record import RunRecord
from runner.conduct.recover import died_in, recover, refuse_left, reopen
from runner.conduct.restoring import kept_metadata, left_as_it_is, verify
from runner.conduct.stats import added_stats
from runner.conduct.stopping import Stopping
from runner.conduct.telemetry import refuse_wrong_queries
from runner.conduct.trial import Conductor
from runner.conduct.undo import judge
from runner.errors import MeshError, MeshtrialError, OutsideError, StoppedError, StorageError
from runner.mesh.kinds import kind_name
from runner.results.document.run import Verdict
from runner.results.document.trial import Invalid
from runner.results.store import RunFolder
from runner.state import journal_home, work_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.conduct.plan import Plan, TrialPlan
    from runner.conduct.progress import Progress
    from runner.conduct.recover import Recovery
    from runner.istio.resource import Resource
    from runner.mesh.base import Mesh
    from runner.results.document.run import RunDocument
    from runner.spec.load import LoadedExperiment
    from runner.spec.mesh import MeshChoice


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
        aa: run the baseline against itself instead.
        add_stats: have proxies keep the counters that the experiment reads, for the run.
    """

    results: Path = Path("results")
    seed: int | None = None
    fresh: bool = False
    keep: bool = False
    command: str = ""
    aa: bool = False
    add_stats: bool = False


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left.

    Attributes:
        folder: the run folder.
        document: what `run.json` says.
        error: what ended the run early, if something did.
        sound: whether the mesh was verified to hold what it held before.
    """

    folder: Path
    document: RunDocument
    error: MeshtrialError | None = None
    sound: bool = True

    @property
    def exit_code(self) -> int:
        """The documented exit code: of what ended the run early, else of the verdict."""
        return self.error.exit_code if self.error else EXIT_CODES[self.document.verdict]


def run(
    experiment: LoadedExperiment,
    options: RunOptions,
    progress: Progress,
    meshes: Meshes | None = None,
    stopping: Stopping | None = None,
    method: Method | None = None,
) -> RunResult:
    """Carry an experiment out.

    Everything the user wrote is checked before anything is started or touched. From the first change on, whatever happens,
    the mesh is restored and a readable run folder is left.

    Args:
        experiment: what to do.
        options: how.
        progress: told of everything.
        meshes: where meshes come from and go to; of this run alone when None.
        stopping: knows of signals, when the caller listens to them for several runs.
        method: what is done between opening the mesh and restoring it; trials in blocks when None.

    Raises:
        InputError: the experiment, a manifest or the load file can't be used.
        OutsideError: the mesh or the generator could not be started.
        StoppedError: a signal came before the first trial.
    """
    method = method or Method()
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    plan = make_plan(experiment, seed, aa=options.aa)
    choice = experiment.experiment.mesh
    preview(plan)
    _recover(choice, progress)
    with contextlib.ExitStack() as stack:
        stopping = stopping or stack.enter_context(Stopping())
        stopping.calm()
        stopping.told = progress.stopping
        drivers = Drivers(plan, stack.enter_context(work_directory()))
        stack.callback(drivers.close)
        if meshes is None:
            meshes = stack.enter_context(Meshes(fresh=options.fresh, keep=options.keep))
        with ThreadPoolExecutor(max_workers=1) as starter:
            opening = starter.submit(meshes.open, choice, stopping.event)
            try:
                with stopping.at_once():
                    drivers.start()
            except BaseException:
                with contextlib.suppress(MeshtrialError), meshes.lend(opening.result()):
                    pass
                raise
            try:
                mesh = opening.result()
            except MeshError:
                stopping.check()  # it gave up because of a signal
                raise
        loan = stack.enter_context(meshes.lend(mesh))
        stopping.check()
        if loan.again and mesh.describe().proxies:
            progress.message(f"uses the mesh of an earlier run of this suite ({mesh.describe().identity})")
        elif mesh.describe().joined:
            progress.message(f"joined the mesh that is up ({mesh.describe().identity})")
        who = f"meshtrial {method.verb} {experiment.experiment.experiment}"
        stack.enter_context(_held(mesh, who, lambda: _recover(choice, progress)))
        _all_alive(mesh)
        stack.enter_context(provided_app(mesh, progress))
        stack.enter_context(added_stats(mesh, plan, progress, wanted=options.add_stats))
        plan, warnings = checked(announced(plan, mesh, drivers), mesh)
        refuse_wrong_queries(plan, mesh)
        drivers.settle(plan, mesh)
        told = [*plan.experiment.warnings, *warnings]
        for warning in told:
            progress.message(f"warning: {warning}")
        stack.enter_context(provided_generators(plan, mesh, drivers, progress, stopping))
        result = _carry_out(plan, mesh, drivers, options, progress, stopping, list(told), method)
        loan.sound, loan.failed = result.sound, result.error is not None
    if loan.kept:
        progress.message(f"the mesh was left up: {mesh.describe().identity}")
    return result


@contextlib.contextmanager
def _held(mesh: Mesh, who: str, restore: Callable[[], list[Recovery]]) -> Iterator[None]:
    """Hold a mesh in which no dead run has left anything.

    Raises:
        MeshError: one may have, in an object that somebody changed since; or another command has the mesh.
    """
    with contextlib.ExitStack() as holding:
        holding.enter_context(mesh.hold(who))
        description = mesh.describe()
        address = MeshAddress(description.kind, description.identity)
        if died_in(journal_home(), address):
            holding.close()  # one that lived when journals were looked at died while its Lease was waited for
            recoveries = restore()
            refuse_left([recovery for recovery in recoveries if recovery.mesh == address])
            holding.enter_context(mesh.hold(who))
        yield


def _recover(choice: MeshChoice, progress: Progress) -> list[Recovery]:
    recoveries = recover(journal_home(), reopen, wanted=kind_name(choice))
    for recovery in recoveries:
        if not recovery.gone:
            progress.message(f"restored what a dead run had left: {recovery}")
    return recoveries


def _all_alive(mesh: Mesh) -> None:
    deaths = mesh.deaths()
    if deaths:
        raise MeshError(
            f"the mesh is not whole: {'; '.join(deaths)}",
            advice="End it with `meshtrial mesh down` and start it again, or use --fresh",
        )


def _carry_out(
    plan: Plan,
    mesh: Mesh,
    drivers: Drivers,
    options: RunOptions,
    progress: Progress,
    stopping: Stopping,
    warnings: list[str],
    method: Method,
) -> RunResult:
    experiment = plan.experiment.experiment
    folder = RunFolder.create(options.results, experiment.experiment, secrets=plan.experiment.secrets)
    record = method.record(plan, mesh.describe(), drivers.versions(), folder, options.command, warnings)
    record.save()
    description = mesh.describe()
    snapshot = mesh.applied()
    before = mesh.versions()
    journal: Journal | NoJournal = NoJournal()
    if description.kind != "none":
        journal = Journal.begin(
            journal_home(), MeshAddress(description.kind, description.identity), snapshot, folder.path.resolve()
        )
    conductor = Conductor(plan, mesh, drivers.by_variant, journal, progress, stopping, inside=drivers.inside)
    error: MeshtrialError | None = None
    try:
        method.blocks(plan, conductor, record, progress)
    except MeshtrialError as caught:
        error = caught
    except OSError as caught:
        error = StorageError(
            f"{caught.filename or 'a file'}: {caught.strerror or caught}", advice="Free space and run again"
        )
    except BaseException as defect:
        # nobody foresaw this one: restore all the same, keep what was measured, and let it go its way
        record.restored, _ = _restore(mesh, snapshot, before, journal)
        with contextlib.suppress(Exception):
            record.finish(MeshtrialError(f"a defect of meshtrial: {type(defect).__name__}: {defect}"))
        raise
    record.restored, sound = _restore(mesh, snapshot, before, journal)
    if error is None and not sound:
        error = MeshError(f"the mesh could not be verified after the last trial: {record.restored}")
    elif isinstance(error, OutsideError):
        error.restored = record.restored
    elif isinstance(error, StoppedError):
        error = StoppedError(error.signal_number, record.restored)
    document = record.finish(error)
    return RunResult(folder.path, document, error, sound)


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
        deaths = died_during(conductor.mesh, outcome.evidence.window)
        validity = record.judged(trial, outcome)
        for death in deaths:
            validity.add(Invalid.PROXY_DIED, death)
        kept = record.add(trial, outcome, validity)
        progress.trial(kept)
        valid = valid and kept.valid
        if deaths:
            mended(conductor.mesh, deaths, f"during {trial.variant.name}, block {trial.block}")
        if outcome.crossing:
            record.abort(trial, outcome.crossing)
            raise GuardrailCrossedError
    return valid


@dataclass(frozen=True, slots=True)
class Method:
    """What a run does between opening the mesh and restoring it.

    Attributes:
        verb: the command's name.
        record: makes the run's record.
        blocks: carries all blocks out.
    """

    verb: str = "run"
    record: type[RunRecord] = RunRecord
    blocks: Callable[[Plan, Conductor, RunRecord, Progress], None] = _blocks


class GuardrailCrossedError(MeshtrialError):
    """A guardrail ended the load; the verdict says so."""

    exit_code = 4


def _restore(
    mesh: Mesh, snapshot: list[Resource], before: dict[str, str], journal: Journal | NoJournal
) -> tuple[str, bool]:
    """Verify, after the last trial, that the mesh is as it was; the journal goes only then.

    Returns:
        What was verified, in a sentence, and whether the mesh is as it was.
    """
    if isinstance(journal, NoJournal):
        return "nothing was applied, so there was nothing to restore", True
    try:
        seen = mesh.applied()
        work = judge({item.key: item for item in snapshot}, journal.written, seen)
        target = work.target(snapshot, seen)
        mesh.restore(target)
        wanted = {item.key for item in target}
        verify(mesh, target, [item.key for item in mesh.applied() if item.key not in wanted])
        now = mesh.versions()
    except (MeshtrialError, OSError) as error:
        journal.abandon()
        return f"not verified ({error}); the journal was kept for `meshtrial recover`", False
    left = left_as_it_is(work.foreign, work.missing)
    if left:
        if work.foreign:
            journal.abandon()
        else:
            journal.restored()
        return f"the mesh holds what it held before, but: {'; '.join([*left, *kept_metadata(work)])}", False
    wrong = [proxy for proxy, version in before.items() if now.get(proxy) not in {version, None}]
    if wrong:
        journal.abandon()
        return f"not restored on {', '.join(wrong)}; the journal was kept for `meshtrial recover`", False
    journal.restored()
    silent = [proxy for proxy in before if proxy not in now]
    verified = len(before) - len(silent)
    text = f"the mesh holds what it held before, verified on {verified} {'proxy' if verified == 1 else 'proxies'}"
    return text + (f" ({', '.join(silent)} did not answer)" if silent else ""), not silent
