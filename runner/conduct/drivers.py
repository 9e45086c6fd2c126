"""The generators of a run: one process for each load file and its options, alive from the first trial to the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.load.drivers import make_driver

if TYPE_CHECKING:
    from pathlib import Path

    from runner.conduct.plan import Plan
    from runner.load.base import Driver


class Drivers:
    """Starts what a plan needs and gives each variant its driver."""

    def __init__(self, plan: Plan, work_directory: Path) -> None:
        self.by_variant: dict[str, Driver] = {}
        self._all: list[Driver] = []
        made: dict[str, Driver] = {}
        for variant in plan.variants:
            # arrivals, users, headers and target belong to a window; only what makes another process makes another driver
            kind = variant.load.locust or variant.load.fortio
            same = f"{type(kind).__name__} {kind.model_dump_json() if kind else ''}"
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
