"""What a cluster can tell beside its proxies: Prometheus, istiod's metrics, and what its pods use; each absent with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.mesh.cluster.prometheus import ClusterPrometheus
from runner.mesh.cluster.usage import UsageReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.mesh.cluster.admin import Fleet
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.istiod import Istiod
    from runner.mesh.cluster.pods import Pod
    from runner.results.usage import Usage


class ClusterTelemetry:
    """As `runner.mesh.telemetry.Telemetry`, for one namespace.

    Args:
        api: the cluster.
        namespace: of the experiment.
        pods: whose use is read: those of the namespace and the gateways.
        fleet: their proxies.
        istiod: all istiods that may be asked.
        url: Prometheus, where the experiment names it.
    """

    def __init__(
        self, api: Api, namespace: str, pods: Sequence[Pod], fleet: Fleet, istiod: Istiod, url: str | None
    ) -> None:
        self._prometheus = ClusterPrometheus(api, url)
        self._usage = UsageReader(api, namespace, pods, fleet)
        self._istiod = istiod

    @property
    def prometheus_name(self) -> str:
        """Where Prometheus is; empty while that is not known."""
        return self._prometheus.name

    def prometheus(self, path: str) -> str:
        """Prometheus' answer to `GET path`.

        Raises:
            MeshError: there is none, or it does not answer.
        """
        return self._prometheus.get(path)

    def control_plane(self) -> dict[str, str]:
        """Each istiod's metrics, by pod.

        Raises:
            MeshError: none can be asked.
        """
        if not self._istiod.there:
            raise MeshError(self._istiod.why_not)
        return self._istiod.metrics()

    def usage(self) -> list[Usage]:
        """CPU time and memory of proxies and applications now.

        Raises:
            MeshError: nobody says.
        """
        return self._usage.read()

    @property
    def usage_note(self) -> str:
        """Why only memory is known; empty where CPU time is, too."""
        return self._usage.without_cpu

    def close(self) -> None:
        """Close the connection to Prometheus."""
        self._prometheus.close()
