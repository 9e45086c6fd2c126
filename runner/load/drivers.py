"""The one dict of load drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import InputError, Problem
from runner.load.fortio import FortioDriver
from runner.load.locust import LocustDriver

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.load.base import Driver
    from runner.spec.model import Load

DRIVERS = {"locust": LocustDriver, "fortio": FortioDriver}
"""Driver classes by the key that a load profile has for them."""


def make_driver(
    load: Load, *, work_directory: Path, environ: Mapping[str, str] | None = None, elsewhere: bool = False
) -> Driver:
    """The driver that a load profile asks for, not started yet.

    Args:
        load: the profile; its files must be resolved.
        work_directory: where the driver writes its log.
        environ: the environment for the driver's processes; this process's when None.
        elsewhere: whether the generator is to run where the load leaves from, in a pod.

    Raises:
        InputError: an option of the generator is wrong.
        DriverError: the generator is not there.
    """
    if load.fortio is not None:
        return FortioDriver(load.fortio, work_directory=work_directory, environ=environ, elsewhere=elsewhere)
    if load.locust is None:
        raise RuntimeError("a load without a generator passed validation")
    if elsewhere:
        raise InputError(
            Problem(
                f"from: {load.source}: load that leaves from a pod is made there, and Locust can't be run there yet",
                expected="fortio, or from: gateway",
            )
        )
    return LocustDriver(load.locust, work_directory=work_directory, environ=environ)
