"""A plain URL as a mesh: nothing to apply, no proxies to ask, so that any service can be put under the same load and judged the same.

Everything that a mesh can prove is empty here, never made up: no versions, no counters, no access log. Nothing of this
module, or of what it imports, needs Linux.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from runner.errors import InputError, MeshError, Problem
from runner.mesh.base import Entry, MeshDescription
from runner.mesh.telemetry import URL_VARIABLE, NoTelemetry
from runner.spec.load_profile import GATEWAY_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.finding import Demands

NO_PROXIES = "a plain URL has no proxies whose counters could be read"


def shown_url(url: str) -> str:
    """A URL as it may be shown and written: without a user's name and password."""
    parts = urlsplit(url)
    _, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"***@{host}").geturl() if at else url


class PlainPreview:
    """A plain URL in thought, which is no different from one that is reached."""

    def applied(self) -> list[Resource]:
        """Nothing."""
        return []

    def reach(self, keys: Iterable[ResourceKey]) -> None:
        """Nothing to do: nothing is applied to a plain URL."""

    def check(self, resources: Sequence[Resource]) -> list[str]:
        """No warnings about an empty state.

        Raises:
            InputError: the state is not empty.
        """
        if resources:
            _refuse(resources)
        return []

    def entry_problems(
        self,
        resources: Sequence[Resource],  # noqa: ARG002 - the protocol's arguments
        source: str,  # noqa: ARG002
        host: str | None,  # noqa: ARG002
    ) -> list[tuple[str, Problem]]:
        """None here: a `from` is refused where the file is read."""
        return []

    def workloads(self) -> dict[str, list[str]]:
        """None that could be known."""
        return {}


class PlainTarget(PlainPreview):
    """A URL under load. Whether anything answers there is found out by the load, and told by each trial's validity."""

    def __init__(self, url: str, prometheus: str | None = None) -> None:
        self.url = url
        self._prometheus = prometheus

    def missing_app(self) -> list[Resource]:
        """Nothing: what is under load is there, or the load will tell."""
        return []

    def describe(self) -> MeshDescription:
        """What is under load."""
        shown = shown_url(self.url)
        return MeshDescription(kind="none", identity=shown, url=shown)

    def apply(self, put: Sequence[Resource], delete: Sequence[ResourceKey]) -> dict[str, str]:
        """Nothing; no proxy holds anything.

        Raises:
            InputError: there is something to apply or to delete.
        """
        if put or delete:
            _refuse(put)
        return {}

    def give_back(self, put: Sequence[Resource], delete: Sequence[ResourceKey]) -> dict[str, str]:
        """Nothing, as `apply`."""
        return self.apply(put, delete)

    def last_writer(self, key: ResourceKey) -> str:  # noqa: ARG002 - the protocol's argument
        """Nobody."""
        return ""

    def restore(self, resources: Sequence[Resource]) -> dict[str, str]:
        """Nothing; no proxy holds anything."""
        return self.apply(resources, ())

    def hold(self, who: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's argument
        """Nothing is changed, so nobody has to be kept out."""
        return contextlib.nullcontext()

    def versions(self) -> dict[str, str]:
        """No proxy, no version."""
        return {}

    def admin(self, path: str) -> dict[str, str]:  # noqa: ARG002 - the protocol's argument
        """No proxy, no answer."""
        return {}

    def workload_of(self, proxy: str) -> NoReturn:
        """There is none.

        Raises:
            MeshError: always.
        """
        raise MeshError(f"{shown_url(self.url)} is a plain URL, with no proxy {proxy}")

    def mend(self) -> bool:
        """Nothing here ends."""
        return True

    def deaths(self) -> list[str]:
        """Nothing here can be seen to die; a target that stops answering makes trials invalid."""
        return []

    def access_log(self, since: float, until: float) -> dict[str, list[str]]:  # noqa: ARG002 - the protocol's arguments
        """No proxy, no log."""
        return {}

    def more_stats(self, demands: Demands) -> tuple[list[Resource], list[str]]:  # noqa: ARG002 - the protocol's argument
        """No proxy, no counter."""
        return [], []

    def telemetry(self) -> NoTelemetry:
        """A plain URL has none of it, but there may be a Prometheus that reads what is behind it."""
        url = self._prometheus or os.environ.get(URL_VARIABLE)
        return NoTelemetry(f"a plain URL has no Prometheus of its own, and {URL_VARIABLE} names none", url)

    def entry(self, source: str, host: str | None = None) -> Entry:
        """The URL.

        Args:
            source: `gateway`, the default.
            host: the `Host` to send; the URL's own when None.

        Raises:
            InputError: the load is to leave from a workload.
        """
        if source not in GATEWAY_NAMES:
            raise InputError(
                Problem(
                    f"from: {source}: a mesh of kind none has no workload that load could leave from",
                    expected="no from",
                )
            )
        return Entry(self.url, {"Host": host} if host else {})

    def leave_running(self) -> None:
        """Nothing was started."""

    def close(self) -> None:
        """Nothing was started."""


def _refuse(resources: Sequence[Resource]) -> NoReturn:
    problems = [Problem("a mesh of kind none applies nothing", resource.position()) for resource in resources]
    raise InputError(problems or Problem("a mesh of kind none applies nothing, so there is nothing to delete"))
