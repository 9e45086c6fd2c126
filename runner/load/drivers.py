"""The one dict of load drivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.load.fortio import FortioDriver
from runner.load.locust import LocustDriver

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.load.base import Driver
    from runner.spec.model import Load

DRIVERS = {"locust": LocustDriver, "fortio": FortioDriver}
"""Driver classes by the key that a load profile has for them."""


def make_driver(load: Load, *, work_directory: Path, environ: Mapping[str, str] | None = None) -> Driver:
    """The driver that a load profile asks for, not started yet.

    Args:
        load: the profile; its files must be resolved.
        work_directory: where the driver writes its log.
        environ: the environment for the driver's processes; this process's when None.

    Raises:
        InputError: an option of the generator is wrong.
        DriverError: the generator is not there.
    """
    if load.fortio is not None:
        return FortioDriver(load.fortio, work_directory=work_directory, environ=environ)
    if load.locust is None:
        raise RuntimeError("a load without a generator passed validation")
    return LocustDriver(load.locust, work_directory=work_directory, environ=environ)
