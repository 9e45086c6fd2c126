"""Where the API server keeps each kind of resource: group, version and plural, asked of the server and not assumed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.istio.kinds import KINDS
from runner.mesh.cluster.api import segment
from runner.mesh.cluster.errors import StatusError

if TYPE_CHECKING:
    from runner.mesh.cluster.api import Api


@dataclass(frozen=True, slots=True)
class Place:
    """A kind's place on an API server.

    Attributes:
        kind: `VirtualService`.
        group: `networking.istio.io`; empty for Kubernetes' core.
        version: `v1`.
        plural: `virtualservices`.
        served: every version of the group that the server has this kind in.
    """

    kind: str
    group: str
    version: str
    plural: str
    served: frozenset[str] = frozenset()

    @property
    def api_version(self) -> str:
        """As in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str | None = None) -> str:
        """The path of all resources of this kind in a namespace, or of one."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        whole = f"{root}/namespaces/{segment(namespace)}/{self.plural}"
        return f"{whole}/{segment(name)}" if name else whole

    def in_version(self, api_version: str) -> Place:
        """The same kind as a manifest's `apiVersion` writes it, where the server has that version too."""
        version = api_version.rpartition("/")[2]
        if version in self.served:
            return Place(self.kind, self.group, version, self.plural, self.served)
        return self


@dataclass(slots=True)
class Places:
    """The places of the kinds that one server has."""

    api: Api
    _known: dict[str, Place | None] = field(default_factory=dict)
    _lists: dict[str, dict[str, str]] = field(default_factory=dict)

    def find(self, kind: str) -> Place | None:
        """The place of a kind in its newest version that the server has; None when it has none.

        Raises:
            MeshError: the server can't be asked.
        """
        if kind not in self._known:
            self._known[kind] = self._discover(kind)
        return self._known[kind]

    def need(self, kind: str) -> Place:
        """As `find`.

        Raises:
            MeshError: the server does not have the kind.
        """
        place = self.find(kind)
        if place is None:
            group = KINDS[kind].api_versions[0].rpartition("/")[0]
            raise MeshError(
                f"the cluster at {self.api.server} does not know the kind {kind}: "
                + (f"it has no CustomResourceDefinition of it in {group}" if group else "its API lacks it"),
                advice="Install Istio (`istioctl install`), or a version that has this kind",
            )
        return place

    def _discover(self, kind: str) -> Place | None:
        versions = KINDS[kind].api_versions
        found: list[tuple[str, str, str]] = []
        for api_version in versions:
            group, _, version = api_version.rpartition("/")
            plural = self._kinds_of(api_version).get(kind)
            if plural:
                found.append((group, version, plural))
        if not found:
            return None
        group, version, plural = found[0]
        return Place(kind, group, version, plural, frozenset(version for _, version, _ in found))

    def _kinds_of(self, api_version: str) -> dict[str, str]:
        if api_version not in self._lists:
            root = "/apis/" if "/" in api_version else "/api/"
            try:
                answer = self.api.get(root + api_version)
            except StatusError as error:
                if not error.not_found:
                    raise
                answer = {}
            self._lists[api_version] = {
                item["kind"]: item["name"] for item in answer.get("resources") or [] if "/" not in item["name"]
            }
        return self._lists[api_version]
