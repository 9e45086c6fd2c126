"""The one dict of load drivers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import InputError, Problem
from runner.load.environment import EXPERIMENT_VARIABLE
from runner.load.fortio import FortioDriver
from runner.load.locust import LocustDriver
from runner.load.locust_arguments import check_file
from runner.load.pod_workers import PodWorkers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from runner.load.base import Driver
    from runner.spec.load_profile import Load

DRIVERS = {"locust": LocustDriver, "fortio": FortioDriver}
"""Driver classes by the key that a load profile has for them."""


def make_driver(
    load: Load,
    *,
    work_directory: Path,
    environ: Mapping[str, str] | None = None,
    elsewhere: bool = False,
    variables: Collection[str] = (),
) -> Driver:
    """The driver that a load profile asks for, not started yet.

    Args:
        load: the profile; its files must be resolved.
        work_directory: where the driver writes its log.
        environ: the environment for the driver's processes; this process's when None.
        elsewhere: whether the generator is to run where the load leaves from, in a pod of the cluster (Locust: its workers).
        variables: environment variables that a generator in a pod has too.

    Raises:
        InputError: an option of the generator is wrong.
        DriverError: the generator is not there.
    """
    if load.fortio is not None:
        return FortioDriver(load.fortio, work_directory=work_directory, environ=environ, elsewhere=elsewhere)
    if load.locust is None:
        raise RuntimeError("a load without a generator passed validation")
    crew = _pod_workers(load, work_directory, environ, variables) if elsewhere else None
    return LocustDriver(load.locust, work_directory=work_directory, environ=environ, crew=crew)


def _pod_workers(load: Load, logs: Path, environ: Mapping[str, str] | None, variables: Collection[str]) -> PodWorkers:
    """Locust's workers in pods.

    Raises:
        InputError: the load file's options can't be had there.
    """
    locust = load.locust
    if locust is None:
        raise RuntimeError("a load without a generator passed validation")
    wrong = "workers: external" if locust.workers == "external" else "processes" if locust.processes > 1 else ""
    if wrong:
        raise InputError(
            Problem(
                f"from: {load.source}: load that leaves from a cluster's workload is made in pods, which can't be had with {wrong}",
                expected="workers: N, so many pods; or from: gateway",
            )
        )
    check_file(locust.file.absolute())
    experiment = (environ or {}).get(EXPERIMENT_VARIABLE)
    return PodWorkers(
        locust,
        locust.file.absolute(),
        logs,
        experiment=Path(experiment) if experiment else None,
        tls=load.tls,
        variables=variables,
    )
