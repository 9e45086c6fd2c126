"""What all proxies show at one moment: fetched at once, taken apart later, so that a reading under load costs as little as it can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.probes import istio_metrics, proxy_stats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.mesh.base import Mesh


@dataclass(frozen=True, slots=True)
class ProxyReading:
    """What the proxies showed.

    Attributes:
        versions: the config version that each held.
        counters: by proxy, by full stat name.
        requests: Istio's standard metrics.
    """

    versions: dict[str, str]
    counters: dict[str, dict[str, int]]
    requests: istio_metrics.Reading


@dataclass(frozen=True, slots=True)
class ProxyTexts:
    """The same as the proxies wrote it.

    Attributes:
        versions: the config version that each held.
        texts: by path of the admin interface, by proxy.
    """

    versions: dict[str, str]
    texts: dict[str, Mapping[str, str]]

    def parsed(self) -> ProxyReading:
        """Taken apart; durations of requests that were under way may be missing."""
        return ProxyReading(
            versions=self.versions,
            counters=proxy_stats.read(self.texts.__getitem__),
            requests=istio_metrics.read(self.texts.__getitem__, tries=1),
        )


def read_quiet(mesh: Mesh) -> ProxyReading:
    """What the proxies of a mesh without traffic show, whole: they are asked again until nothing is behind."""
    return ProxyReading(mesh.versions(), proxy_stats.read(mesh.admin), istio_metrics.read(mesh.admin))


def read_texts(mesh: Mesh) -> ProxyTexts:
    """Ask every proxy of a mesh; one that does not answer is missing."""
    paths = (proxy_stats.COUNTERS_PATH, istio_metrics.PATH)
    return ProxyTexts(mesh.versions(), {path: mesh.admin(path) for path in paths})
