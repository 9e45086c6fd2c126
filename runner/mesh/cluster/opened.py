"""One namespace of a cluster, opened: what runs there, what its proxies hold and tell, and whether it is still the same."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Self

from runner.errors import InputError, MeshError, Problem
from runner.mesh.base import MeshDescription
from runner.mesh.cluster.add_stats import with_more_stats
from runner.mesh.cluster.admin import Fleet
from runner.mesh.cluster.app import app_resources, injection_labels
from runner.mesh.cluster.confirm import Confirmer
from runner.mesh.cluster.connect import connect, reconnect
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.generator_jobs import GeneratorJobs
from runner.mesh.cluster.identity import Identity
from runner.mesh.cluster.inventory import (
    beside_sidecars,
    refuse_unusable,
    refuse_without_sidecars,
    take_inventory,
    workloads_by_service,
)
from runner.mesh.cluster.istiod import Istiod
from runner.mesh.cluster.kinds import Places
from runner.mesh.cluster.lease import NamespaceLease
from runner.mesh.cluster.logs import access_log
from runner.mesh.cluster.mending import MEND_LIMIT, Mending, replaced, short_of
from runner.mesh.cluster.pods import list_pods, proxy_names
from runner.mesh.cluster.store import Store
from runner.mesh.cluster.telemetry import ClusterTelemetry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.istio.resource import Resource
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.entry import (
        Forwarder,
    )
    from runner.mesh.cluster.held import Held
    from runner.mesh.cluster.pods import Pod
    from runner.mesh.finding import Demands
    from runner.spec.mesh import ClusterTarget


class OpenedNamespace:
    """One namespace of a cluster, with its sidecars and the gateway's."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.store = Store(api, Places(api), namespace)
        self._labels = refuse_unusable(api, self.store, namespace)
        self._lease = NamespaceLease(api, namespace)
        self._root_lease: NamespaceLease | None = None
        self._holding = contextlib.ExitStack()
        self._holder = ""
        self.istiod = Istiod.find(api)
        self._forwarder: Forwarder | None = None
        self._address: str | None = None
        self._envoy: str | None = None
        self._app: str | None = None
        self._missing: list[Resource] = []
        self._generators = GeneratorJobs(api, namespace)
        self._from_outside = True
        self._prometheus: str | None = None
        self._telemetry: ClusterTelemetry | None = None
        self._look_around(self.store.read())

    def _look_around(self, resources: Sequence[Resource]) -> None:
        """Take stock of the pods: at the beginning, and after workloads were changed."""
        self.inventory = take_inventory(self.api, self.namespace, resources)
        self._pods: dict[str, Pod] = proxy_names(self.inventory.everyone)
        self._fleet = Fleet(self.api, self._pods)
        self._confirmer = Confirmer(self._fleet, self.istiod, self.namespace, self._living)
        if self._telemetry is not None:
            self._telemetry.close()
            self._telemetry = None

    def _rediscover(self) -> None:
        self._fleet.close()
        self._look_around([held.resource for held in self.store.known().values()])

    @classmethod
    def open(cls, target: ClusterTarget) -> Self:
        """The namespace that an experiment names.

        Raises:
            InputError: there is no kubeconfig, or no such context or namespace.
            MeshError: the cluster can't be used: it does not answer, has no Istio, no sidecars, or is in ambient mode.
        """
        api = connect(target.context)
        try:
            mesh = cls(api, target.namespace)
        except BaseException:
            api.close()
            raise
        try:
            mesh.use_app(target)
            mesh._generators.pods = target.generators
            if not mesh.missing_app():
                refuse_without_sidecars(mesh.inventory, target.namespace)
        except BaseException:
            mesh.close()
            raise
        return mesh

    def use_app(self, target: ClusterTarget) -> None:
        """Note what of an experiment's app is not there.

        Raises:
            InputError: there is no such app, or it is none that a run could deploy.
        """
        labels = injection_labels(self._labels, {pod.revision for pod in self.istiod.pods})
        resources = app_resources(target.app, self.namespace, target.images, labels)
        known = self.store.known()
        self._app = target.app
        self._prometheus = target.prometheus
        self._missing = [item for item in resources if item.key not in known]
        there = [item for item in resources if item.key in known and item.key.kind in {"Service", "Deployment"}]
        meant = "app" in target.model_fields_set or not self.inventory.pods
        if there or not meant:
            self._missing = []  # an app of that name is there, whatever it lacks; or another one, and none was asked for
        homes = ", ".join(sorted({item.key.namespace or item.key.name for item in self._missing} - {self.namespace}))
        if homes:
            raise InputError(
                Problem(
                    f"the app {target.app} is not in {self.namespace}, and a run can't deploy it: parts of it belong into {homes}",
                    suggestion="A run changes one namespace's workloads only. Deploy the app before: kubectl apply -f",
                )
            )

    def missing_app(self) -> list[Resource]:
        """What of the experiment's app has to be deployed first; empty when it is there."""
        return list(self._missing)

    @classmethod
    def reopen(cls, identity: str) -> Self | None:
        """The namespace of an identity; None when it does not exist any more.

        Raises:
            MeshError: its cluster can't be reached from here.
        """
        wanted = Identity.parse(identity)
        api = reconnect(wanted)
        try:
            mesh = cls(api, wanted.namespace)
        except InputError:  # the namespace is gone, and what was in it
            api.close()
            return None
        except BaseException:
            api.close()
            raise
        mesh._generators.shown = True
        return mesh

    def describe(self) -> MeshDescription:
        """What this mesh is."""
        return MeshDescription(
            kind="cluster",
            identity=str(Identity(self.api.server, self.namespace, self.api.context)),
            app=self._app,
            envoy=self._envoy_version(),
            istio=self.istiod.version() or None,
            revisions=sorted({pod.revision for pod in self._pods.values() if pod.revision}),
            proxies=list(self._pods),
            workloads=self.workloads(),
            joined=True,
            gateways=sorted({pod.workload for pod in self.inventory.gateways}),
            bare={
                workload: pods
                for workloads in self._bare().values()
                for workload, pods in workloads.items()
                if workload
            },
        )

    def _bare(self) -> dict[str, dict[str, list[str]]]:
        return beside_sidecars(self.inventory, [held.resource for held in self._services()])

    def _envoy_version(self) -> str | None:
        if self._envoy is None:
            for client in self._fleet.clients.values():
                with contextlib.suppress(MeshError, ValueError, KeyError, IndexError):
                    self._envoy = str(json.loads(client.get("/server_info"))["version"]).split("/")[1]
                    break
        return self._envoy

    def workloads(self) -> dict[str, list[str]]:
        """By service, the workloads behind it; one without a Service stands under its `app` label."""
        return workloads_by_service(self.inventory, [held.resource for held in self._services()])

    def _services(self) -> list[Held]:
        return [held for key, held in self.store.known().items() if key.kind == "Service"]

    def workload_of(self, proxy: str) -> str:
        """The workload that a proxy belongs to."""
        return self._pods[proxy].workload

    def versions(self) -> dict[str, str]:
        """The config version that each proxy holds now; a proxy that does not answer is missing."""
        return self._confirmer.look()

    def admin(self, path: str) -> dict[str, str]:
        """`GET path` of every proxy's admin interface, by proxy; one that does not answer is missing."""
        return self._fleet.get(path)

    def _pods_now(self) -> dict[str, Pod]:
        """The pods that are there now, of the namespace and of the gateways' namespaces, by `POD.NAMESPACE`."""
        now = {pod.proxy_id: pod for pod in list_pods(self.api, self.namespace)}
        for namespace in sorted({pod.namespace for pod in self.inventory.gateways} - {self.namespace}):
            with contextlib.suppress(StatusError):
                now.update({pod.proxy_id: pod for pod in list_pods(self.api, namespace)})
        return now

    def _living(self) -> set[str]:
        """Proxies whose pods are there; of the others `deaths` tells."""
        now = self._pods_now()
        return {name for name, pod in self._pods.items() if pod.proxy_id in now and now[pod.proxy_id].uid == pod.uid}

    def mend(self) -> bool:
        """Wait until pods in the place of those that went do their work: they are ready and listen, and every proxy sends to them.

        Raises:
            MeshError: the API server can't be asked, or something is still missing when the wait ends; says what.
        """
        before, names = {pod.proxy_id: pod for pod in self.inventory.everyone}, set(self._pods)
        gone: dict[str, Pod] = {}
        began = time.monotonic()
        while True:
            while (missing := short_of(before.values(), self._pods_now().values())) and not self._given_up(began):
                time.sleep(1.0)
            self._fleet.close()
            self._look_around([held.resource for held in self.store.known().values()])
            now = {pod.proxy_id: pod for pod in self.inventory.everyone}
            came, went = replaced(before, now)
            gone |= {pod.uid: pod for pod in went}
            if not missing:
                ips = frozenset(pod.ip for pod in now.values())
                parts = (self._selectors(), came, list(gone.values()), ips)
                missing = Mending(self.api, self._fleet, *parts, lambda: bool(self.deaths())).wait(began + MEND_LIMIT)
            again = self.deaths()
            if not again or self._given_up(began):
                break
        if self._forwarder is not None:
            self._forwarder.close()
        self._forwarder = self._address = None
        told = [missing, *again] if missing else again
        if not told and names != set(self._pods):
            told = [f"the proxies are not the same: {', '.join(sorted(names ^ set(self._pods)))}"]
        if told:
            raise MeshError(f"the mesh was not whole again after {time.monotonic() - began:.0f} s: {'; '.join(told)}")
        return True

    def _given_up(self, began: float) -> bool:
        return bool(self._lease.lost) or time.monotonic() > began + MEND_LIMIT

    def _selectors(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Namespace, name and spec of the Services before the pods."""
        found = [
            (held.resource.key.namespace or self.namespace, held.resource.key.name, held.resource.spec)
            for held in self._services()
        ]
        gateways = [
            (item["metadata"]["namespace"], item["metadata"]["name"], item["spec"]) for item in self.inventory.services
        ]
        return [*found, *gateways]

    def deaths(self) -> list[str]:
        """Pods that went or came, and containers that were restarted, since the mesh was opened or mended, in words."""
        told = [lease.lost for lease in (self._lease, self._root_lease) if lease and lease.lost]
        now = self._pods_now()
        known = {pod.proxy_id: pod for pod in self.inventory.everyone}
        for name, pod in known.items():
            if name not in now or now[name].uid != pod.uid:
                told.append(f"the pod {pod.name} of {pod.workload} is gone")
                continue
            for container, count in now[name].restarts.items():
                if count > pod.restarts.get(container, 0):
                    how = now[name].ended.get(container)
                    told.append(f"{container} of {pod.name} was restarted" + (f" ({how})" if how else ""))
        told += [
            f"the pod {pod.name} of {pod.workload} came"
            for name, pod in now.items()
            if name not in known and pod.namespace == self.namespace and pod.proxied and not pod.gateway
        ]
        return told

    def access_log(self, since: float, until: float) -> dict[str, list[str]]:
        """Lines of each proxy's access log between two wall-clock times, by proxy."""
        return self._fleet.each(lambda client: access_log(self.api, client.pod, since, until))

    def more_stats(self, demands: Demands) -> tuple[list[Resource], list[str]]:
        """Deployments changed so that their sidecars keep the counters that an experiment reads, and what can't be helped.

        Raises:
            MeshError: the API server can't be asked.
        """
        return with_more_stats(self.api, self.inventory.pods, self.store.read(), demands, self.namespace)

    def telemetry(self) -> ClusterTelemetry:
        """What the cluster can tell beside its proxies; of the pods that are there now."""
        if self._telemetry is None:
            self._telemetry = ClusterTelemetry(
                self.api, self.namespace, self.inventory.everyone, self._fleet, self.istiod, self._prometheus
            )
        return self._telemetry

    def close(self) -> None:
        """Close all connections."""
        if self._forwarder is not None:
            self._forwarder.close()
        if self._telemetry is not None:
            self._telemetry.close()
        self._fleet.close()
        self.istiod.close()
        self.api.close()
