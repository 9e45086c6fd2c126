"""The generators of a run: one process for each load file and its options, alive from the first trial to the last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.errors import InputError, Problem
from runner.load.drivers import make_driver
from runner.load.environment import EXPERIMENT_VARIABLE
from runner.load.locust import LocustDriver
from runner.spec.mesh import ClusterMesh

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.conduct.plan import Plan
    from runner.load.base import Driver
    from runner.mesh.base import Mesh
    from runner.spec.load_profile import Load


class Drivers:
    """Starts what a plan needs and gives each variant its driver."""

    def __init__(self, plan: Plan, work_directory: Path) -> None:
        self._plan = plan
        self.by_variant: dict[str, Driver] = {}
        self._all: list[Driver] = []
        made: dict[str, Driver] = {}
        for variant in plan.variants:
            same = f"{_process_of(variant.load)} {_place_of(plan, variant.load)}"
            if same not in made:
                made[same] = make_driver(
                    variant.load,
                    work_directory=work_directory / f"driver-{len(made) + 1}",
                    environ=_environ(plan),
                    elsewhere=_is_elsewhere(plan, variant.load),
                    variables=plan.experiment.experiment.env,
                )
                self._all.append(made[same])
            self.by_variant[variant.name] = made[same]

    def start(self) -> None:
        """Start all of them.

        Raises:
            InputError: a load file can't be used.
            DriverError: a generator did not start.
        """
        for driver in self._all:
            driver.start()
        for variant in self._plan.variants:
            driver = self.by_variant[variant.name]
            if variant.load.users == "shape" and isinstance(driver, LocustDriver) and not driver.shape:
                where = self._plan.experiment.document.position(("variants", variant.name, "load", "users"))
                file = variant.load.locust.file if variant.load.locust else ""
                raise InputError(
                    Problem(
                        f"{file} has no load shape", where, "a class that inherits from LoadTestShape, or users: 10"
                    )
                )

    def settle(self, plan: Plan, mesh: Mesh) -> None:
        """Tell each where its load leaves from, now that the mesh is open.

        Raises:
            InputError: the load can't leave from there.
            DriverError: the generator is not there.
        """
        settled: set[int] = set()
        for variant in plan.variants:
            driver = self.by_variant[variant.name]
            if variant.load.fortio and _is_elsewhere(plan, variant.load) and id(driver) not in settled:
                settled.add(id(driver))
                driver.settle(mesh.entry(variant.load.source, variant.load.host).command)

    def in_pods(self) -> list[tuple[LocustDriver, Load]]:
        """Drivers whose workers run in pods, each once, with a load of theirs."""
        found: dict[int, tuple[LocustDriver, Load]] = {}
        for variant in self._plan.variants:
            driver = self.by_variant[variant.name]
            if isinstance(driver, LocustDriver) and driver.pods is not None:
                found.setdefault(id(driver), (driver, variant.load))
        return list(found.values())

    @property
    def inside(self) -> frozenset[str]:
        """Variants whose load is made in pods."""
        found = {id(driver) for driver, _ in self.in_pods()}
        return frozenset(name for name, driver in self.by_variant.items() if id(driver) in found)

    def versions(self) -> dict[str, str]:
        """Name and version of each kind of driver in use."""
        return {driver.name: driver.version for driver in self._all}

    def close(self) -> None:
        """End all of them."""
        for driver in self._all:
            driver.close()


def _is_elsewhere(plan: Plan, load: Load) -> bool:
    """Whether a load is made inside the cluster: the sidecar that it leaves through takes requests of its own pod only.

    Locust's `workers: N` are pods there too when load enters at the gateway.
    """
    shared = load.locust is not None and isinstance(load.locust.workers, int)
    return isinstance(plan.experiment.experiment.mesh, ClusterMesh) and (shared or not load.at_gateway)


def generator_pods(plan: Plan, load: Load) -> int:
    """How many pods a load of Locust's is made in."""
    if load.locust is None or not _is_elsewhere(plan, load):
        return 0
    return load.locust.workers if isinstance(load.locust.workers, int) else 1


def _place_of(plan: Plan, load: Load) -> str:
    """What makes other pods, of a load that is made in some: whose place they take, and the files that they are sent."""
    return f"{load.source} {load.tls}" if _is_elsewhere(plan, load) else ""


def _process_of(load: Load) -> str:
    """What makes another process, which alone makes another driver: arrivals, users, headers and target belong to a window."""
    kind = load.locust or load.fortio
    return f"{type(kind).__name__} {kind.model_dump_json() if kind else ''}"


def try_load_files(plans: Sequence[Plan | None], work_directory: Path) -> list[list[Problem]]:
    """Start every generator that some plans need, one at a time, and end it again.

    Args:
        plans: what will be done; None for one that can't be.
        work_directory: for the generators' logs.

    Returns:
        What is wrong with the load files, one list for each plan; a file that several plans use is told at the first.

    Raises:
        DriverError: a generator did not start, for another reason than its file.
    """
    tried: set[str] = set()
    found: list[list[Problem]] = []
    for plan in plans:
        problems: list[Problem] = []
        loads = {_process_of(variant.load): variant.load for variant in plan.variants} if plan else {}
        for same, load in loads.items():
            environ = _environ(plan) if plan else {}
            elsewhere = plan is not None and _is_elsewhere(plan, load)
            here = f"{plan.experiment.path.parent if plan else ''} {same}"
            if here not in tried:
                tried.add(here)
                problems += _try(load, work_directory / f"try-{len(tried)}", environ, elsewhere=elsewhere)
        found.append(problems)
    return found


def _environ(plan: Plan) -> dict[str, str]:
    return {**os.environ, EXPERIMENT_VARIABLE: str(plan.experiment.path.absolute())}


def _try(load: Load, work_directory: Path, environ: dict[str, str], *, elsewhere: bool) -> list[Problem]:
    try:
        if load.locust is not None:
            if elsewhere:  # what can't be had in a pod is told, and then the file is loaded here
                make_driver(load, work_directory=work_directory, environ=environ, elsewhere=True)
            load, elsewhere = load.model_copy(update={"locust": load.locust.alone()}), False
        driver = make_driver(load, work_directory=work_directory, environ=environ, elsewhere=elsewhere)
        try:
            driver.start()
        finally:
            driver.close()
    except InputError as error:
        return error.problems
    return []
