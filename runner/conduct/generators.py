"""Load generators that run beside the app, in pods of a cluster: there for the whole run, journalled like any change, gone after it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from runner.conduct.journal import Journal, MeshAddress
from runner.errors import InputError, MeshError, OutsideError
from runner.load.aboard import HOLD
from runner.spec.mesh import ClusterMesh
from runner.state import journal_home

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.conduct.drivers import Drivers
    from runner.conduct.plan import Plan
    from runner.conduct.progress import Progress
    from runner.conduct.stopping import Stopping
    from runner.mesh.base import GeneratorHost, Generators, Mesh


def announced(plan: Plan, mesh: Mesh, drivers: Drivers) -> Plan:
    """The plan, after a mesh that can run generators was told whether any load comes from this machine all the same."""
    if isinstance(plan.experiment.experiment.mesh, ClusterMesh):
        outside = any(variant.load.at_gateway and variant.name not in drivers.inside for variant in plan.variants)
        cast("GeneratorHost", mesh).expect_load(from_outside=outside)
    return plan


@contextlib.contextmanager
def provided_generators(
    plan: Plan, mesh: Mesh, drivers: Drivers, progress: Progress, stopping: Stopping
) -> Iterator[None]:
    """Have the pods that a plan's loads need, with a worker that has joined in each, for as long as the context lasts.

    They have a journal of their own, from before the first is made until the last one is gone.

    Raises:
        InputError: they can't be had.
        MeshError: one can't run, or could not be taken away (the journal is kept then).
        DriverError: a worker did not join.
        StorageError: the journal could not be written; nothing was made.
        StoppedError: a signal came.
    """
    loads = drivers.in_pods()
    if not loads:
        yield
        return
    host = cast("GeneratorHost", mesh)  # the only kind of mesh for which a driver is made so
    wanted = []
    for driver, load in loads:
        number = driver.pods.number if driver.pods else 0
        try:
            wanted.append(host.plan_generators(load.source, number, HOLD))
        except InputError as error:
            where = (
                plan.experiment.document.position(("mesh",)) if ("mesh",) in plan.experiment.document.values else None
            )
            raise InputError([replace(problem, where=problem.where or where) for problem in error.problems]) from None
    description = mesh.describe()
    address = MeshAddress(description.kind, description.identity)
    journal = Journal.begin(journal_home(), address, mesh.applied(), Path("the load generators of a run"))
    try:
        for one in wanted:
            progress.message(_told(one))
            for note in one.notes:
                progress.message(f"warning: {note}")
        journal.intend([one.resource for one in wanted], ())
        reached = host.start_generators(wanted, stopping.check)
        with stopping.at_once():
            for (driver, _), one, commands in zip(loads, wanted, reached, strict=True):
                driver.board(commands, one.image)
        yield
    finally:
        for driver, _ in loads:
            driver.close()
        try:
            host.end_generators(wanted)
        except OutsideError as error:
            journal.abandon()
            raise MeshError(
                f"the load generators' pods could not be removed: {error}",
                advice="Run `meshtrial recover`; the journal was kept",
            ) from error
        journal.restored()


def _told(one: Generators) -> str:
    pods = "1 pod" if one.number == 1 else f"{one.number} pods"
    return f"starting {pods} for load from {one.source} ({one.resource.key.name}, {one.image}), removed after the run"
