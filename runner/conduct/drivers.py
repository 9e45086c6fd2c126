"""The generators of a run: one process for each load file and its options, alive from the first trial to the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import InputError
from runner.load.drivers import make_driver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.conduct.plan import Plan
    from runner.errors import Problem
    from runner.load.base import Driver
    from runner.spec.model import Load


class Drivers:
    """Starts what a plan needs and gives each variant its driver."""

    def __init__(self, plan: Plan, work_directory: Path) -> None:
        self.by_variant: dict[str, Driver] = {}
        self._all: list[Driver] = []
        made: dict[str, Driver] = {}
        for variant in plan.variants:
            same = _process_of(variant.load)
            if same not in made:
                made[same] = make_driver(variant.load, work_directory=work_directory / f"driver-{len(made) + 1}")
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

    def versions(self) -> dict[str, str]:
        """Name and version of each kind of driver in use."""
        return {driver.name: driver.version for driver in self._all}

    def close(self) -> None:
        """End all of them."""
        for driver in self._all:
            driver.close()


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
            if same not in tried:
                tried.add(same)
                problems += _try(load, work_directory / f"try-{len(tried)}")
        found.append(problems)
    return found


def _try(load: Load, work_directory: Path) -> list[Problem]:
    if load.locust is not None:
        load = load.model_copy(update={"locust": load.locust.alone()})
    try:
        driver = make_driver(load, work_directory=work_directory)
        try:
            driver.start()
        finally:
            driver.close()
    except InputError as error:
        return error.problems
    return []
