"""A Kubernetes cluster with Istio as a `Mesh`: apply is write and confirm; undo is the same with what was there before."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING

from runner.errors import ConfigRejectedError, InputError, MeshError
from runner.mesh.base import Entry, MeshDescription
from runner.mesh.cluster.admin import Fleet
from runner.mesh.cluster.app import app_resources, injection_labels, wait_for_rollout, wait_until_gone
from runner.mesh.cluster.check import Checker
from runner.mesh.cluster.confirm import Change, Confirmer
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.entry import (
    TUNNEL_LIMITS,
    Forwarder,
    candidates,
    find_port,
    no_gateway,
    node_addresses,
    reachable,
    target_ports,
)
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.expect import State
from runner.mesh.cluster.identity import Identity
from runner.mesh.cluster.inside import inside_entry, inside_problems
from runner.mesh.cluster.inventory import refuse_unusable, refuse_without_sidecars, take_inventory
from runner.mesh.cluster.istiod import Istiod
from runner.mesh.cluster.kinds import Places
from runner.mesh.cluster.lease import NamespaceLease
from runner.mesh.cluster.logs import access_log
from runner.mesh.cluster.pods import list_pods, proxy_names
from runner.mesh.cluster.store import Store
from runner.spec.model import GATEWAY_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.errors import Problem
    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod
    from runner.mesh.cluster.store import Held
    from runner.spec.model import ClusterTarget


IN_FLIGHT = 2.0
"""Seconds after which a request that a command sent when it was killed has been carried out or dropped by the API server: only then is
it known what that command left."""


class ClusterMesh:
    """One namespace of a cluster, with its sidecars and the gateway's; make one with `open` or `reopen`."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.store = Store(api, Places(api), namespace)
        self._labels = refuse_unusable(api, self.store, namespace)
        self._lease = NamespaceLease(api, namespace)
        self.istiod = Istiod.find(api)
        self._forwarder: Forwarder | None = None
        self._address: str | None = None
        self._envoy: str | None = None
        self._app: str | None = None
        self._missing: list[Resource] = []
        self._look_around(self.store.read())

    def _look_around(self, resources: Sequence[Resource]) -> None:
        """Take stock of the pods: at the beginning, and after workloads were changed."""
        self.inventory = take_inventory(self.api, self.namespace, resources)
        self._pods: dict[str, Pod] = proxy_names(self.inventory.everyone)
        self._fleet = Fleet(self.api, self._pods)
        self._confirmer = Confirmer(self._fleet, self.istiod, self.namespace, self._living)

    @classmethod
    def open(cls, target: ClusterTarget) -> ClusterMesh:
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
            if not mesh.missing_app():
                refuse_without_sidecars(mesh.inventory, target.namespace)
        except BaseException:
            mesh.close()
            raise
        return mesh

    def use_app(self, target: ClusterTarget) -> None:
        """Note what of an experiment's app is not there.

        Raises:
            InputError: there is no such app.
        """
        labels = injection_labels(self._labels, {pod.revision for pod in self.istiod.pods})
        resources = app_resources(target.app, self.namespace, target.images, labels)
        known = self.store.known()
        self._app = target.app
        self._missing = [item for item in resources if item.key not in known]
        there = [item for item in resources if item.key in known and item.key.kind in {"Service", "Deployment"}]
        meant = "app" in target.model_fields_set or not self.inventory.pods
        if there or not meant:
            self._missing = []  # an app of that name is there, whatever it lacks; or another one, and none was asked for

    def missing_app(self) -> list[Resource]:
        """What of the experiment's app has to be deployed first; empty when it is there."""
        return list(self._missing)

    @classmethod
    def reopen(cls, identity: str) -> ClusterMesh | None:
        """The namespace of an identity; None when it does not exist any more.

        Raises:
            MeshError: its cluster can't be reached from here.
        """
        wanted = Identity.parse(identity)
        server, namespace, context = wanted.server, wanted.namespace, wanted.context
        try:
            api = connect(context)
        except InputError as error:
            raise MeshError(
                f"a dead run left something in {namespace} of the cluster at {server}, and that cluster can't be reached: {error}",
                advice="Set KUBECONFIG to the kubeconfig that the run had, and run `meshtrial recover` again",
            ) from None
        if api.server != server:
            raise MeshError(
                f"a dead run left something in {namespace} of the cluster at {server}, but the context {context} leads to {api.server}",
                advice="Set KUBECONFIG to the kubeconfig that the run had, and run `meshtrial recover` again",
            )
        try:
            return cls(api, namespace)
        except InputError:  # the namespace is gone, and what was in it
            api.close()
            return None
        except BaseException:
            api.close()
            raise

    def describe(self) -> MeshDescription:
        """What this mesh is."""
        return MeshDescription(
            kind="cluster",
            identity=str(Identity(self.api.server, self.namespace, self.api.context)),
            app=self._app,
            envoy=self._envoy_version(),
            proxies=list(self._pods),
            workloads=self.workloads(),
            joined=True,
        )

    def _envoy_version(self) -> str | None:
        if self._envoy is None:
            for client in self._fleet.clients.values():
                with contextlib.suppress(MeshError, ValueError, KeyError, IndexError):
                    self._envoy = str(json.loads(client.get("/server_info"))["version"]).split("/")[1]
                    break
        return self._envoy

    def workloads(self) -> dict[str, list[str]]:
        """By service, the workloads behind it; one without a Service stands under its `app` label."""
        found: dict[str, list[str]] = {}
        services = [(held.resource.key.name, held.resource.spec, self.inventory.pods) for held in self._services()]
        services += [
            (item["metadata"]["name"], item["spec"], self.inventory.gateways) for item in self.inventory.services
        ]
        for name, spec, pods in services:
            selector = (spec.get("selector") or {}).items()
            behind = {pod.workload: None for pod in pods if selector and selector <= pod.labels.items()}
            if behind:
                found[name] = list(behind)
        behind_services = {workload for workloads in found.values() for workload in workloads}
        for pod in self.inventory.pods:  # one that only sends has no Service
            if pod.proxied and pod.workload not in behind_services:
                found.setdefault(pod.labels.get("app", pod.workload), []).append(pod.workload)
        return {name: list(dict.fromkeys(workloads)) for name, workloads in found.items()}

    def _services(self) -> list[Held]:
        return [held for key, held in self.store.known().items() if key.kind == "Service"]

    def workload_of(self, proxy: str) -> str:
        """The workload that a proxy belongs to."""
        return self._pods[proxy].workload

    def applied(self) -> list[Resource]:
        """What the namespace holds, of the kinds that a run may touch.

        Raises:
            MeshError: the API server can't be asked.
        """
        return self.store.read()

    @contextlib.contextmanager
    def hold(self, who: str) -> Iterator[None]:
        """The right to change this namespace, for as long as the context lasts.

        Raises:
            MeshError: another command has it.
        """
        with self._lease.held(who):
            if self._lease.inherited:
                time.sleep(IN_FLIGHT)
            self.store.read()
            yield

    def check(self, resources: Sequence[Resource]) -> list[str]:
        """Try a whole state without touching anything: lint, other owners, permissions, and the API server's own dry run.

        Raises:
            InputError: a resource can't be held by this cluster.
            MeshError: the cluster lacks a kind, or we a permission.
        """
        warnings = Checker(self.store, self.inventory.everyone).check(resources)
        warnings += self.inventory.notes
        if not self.istiod.there:
            warnings.append(f"config is confirmed by the proxies alone: {self.istiod.why_not}")
        if find_port(resources, self.inventory.gateways, self.inventory.services) and not self._outside(resources):
            warnings.append(TUNNEL_LIMITS)
        return warnings

    def entry_problems(self, resources: Sequence[Resource], source: str, host: str | None) -> list[tuple[str, Problem]]:
        """What is wrong with a load's `from` and `host` in a state, each under its key."""
        if source not in GATEWAY_NAMES:
            return inside_problems(self.inventory.pods, source, host, self.workloads())
        if find_port(resources, self.inventory.gateways, self.inventory.services) is None:
            return [("from", problem) for problem in no_gateway().problems]
        return []

    def apply(self, put: Sequence[Resource], delete: Sequence[ResourceKey] = ()) -> dict[str, str]:
        """Replace or add `put`, remove `delete`; returns once every proxy holds the result.

        Raises:
            ConfigRejectedError: the API server, a webhook or a proxy refused; what was there before was put back.
            MeshError: the API server did not do its part, and what was there before was put back; or some proxy does not show the
                result in time: the objects are written then, and the caller puts back what was there.
        """
        prior = self.store.known()
        before = self._confirmer.before()
        written = self.store.change(put, delete)
        try:
            self._follow_workloads(put, delete)
            change = self._change(prior, put, delete, written)
            return self._confirmer.wait(change, before)
        except ConfigRejectedError as error:
            error.restored = self._take_back(prior, put, delete)
            raise

    def _change(
        self,
        prior: dict[ResourceKey, Held],
        put: Sequence[Resource],
        delete: Sequence[ResourceKey],
        written: Sequence[Held],
    ) -> Change:
        """What of a change proxies can show: specs that differ, and resources that are gone."""
        now = {held.resource.key: held for held in written}
        changed = [
            item
            for item in put
            if item.key not in prior
            or (now[item.key].uid, now[item.key].generation) != (prior[item.key].uid, prior[item.key].generation)
        ]
        resources = [held.resource for held in self.store.known().values()]
        targets = target_ports(self.inventory.services, self.inventory.gateways)
        return Change(
            State.of(resources, targets),
            changed,
            [key for key in delete if key in prior],
            {item.key: now[item.key].version for item in changed},
        )

    def _follow_workloads(self, put: Sequence[Resource], delete: Sequence[ResourceKey]) -> None:
        """After a change of workloads: wait for their pods, and look at who is there now."""
        changed = [item.key for item in put if item.key.kind == "Deployment"]
        gone = [key for key in delete if key.kind == "Deployment"]
        if changed:
            wait_for_rollout(self.api, self.namespace, changed)
        if gone:
            wait_until_gone(self.api, self.namespace, gone)
        if changed or gone:
            self._fleet.close()
            self._look_around([held.resource for held in self.store.known().values()])

    def _take_back(self, prior: dict[ResourceKey, Held], put: Sequence[Resource], delete: Sequence[ResourceKey]) -> str:
        keys = [*(item.key for item in put), *delete]
        back = [prior[key].resource for key in keys if key in prior]
        gone = [key for key in keys if key not in prior]
        try:
            before = self._confirmer.before()
            known = self.store.known()
            written = self.store.change(back, gone)
            self._follow_workloads(back, gone)
            self._confirmer.wait(self._change(known, back, gone, written), before)
        except MeshError as error:
            return f"What was there before was not put back everywhere ({error})"
        return "Everything was put back as it was, on every proxy"

    def restore(self, resources: Sequence[Resource]) -> dict[str, str]:
        """Put back what this command changed; what others changed meanwhile is theirs.

        Raises:
            MeshError: as `apply`.
        """
        wanted = {item.key: item for item in resources}
        known = self.store.known()
        touched = self.store.touched()
        put = [
            wanted[key]
            for key in touched
            if key in wanted and (key not in known or known[key].resource.canonical() != wanted[key].canonical())
        ]
        return self.apply(put, [key for key in touched if key not in wanted and key in known])

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

    def deaths(self) -> list[str]:
        """Pods that went or came, and containers that were restarted, since the mesh was opened, in words."""
        told = [self._lease.lost] if self._lease.lost else []
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

    def entry(self, source: str, host: str | None = None) -> Entry:
        """Where load enters: at the gateway's address, or through a port-forward to it; or which pod it leaves from.

        Raises:
            InputError: load can't leave from a workload, or there is no gateway.
            MeshError: the gateway can't be reached.
        """
        if source not in GATEWAY_NAMES:
            return inside_entry(self.api.context, self.inventory.pods, source, host)
        resources = [held.resource for held in self.store.known().values()]
        headers = {"Host": host} if host else {}
        address = self._outside(resources)
        if address:
            return Entry(address, headers)
        if self._forwarder is None:
            port = find_port(resources, self.inventory.gateways, self.inventory.services)
            if port is None:
                raise no_gateway()
            self._forwarder = Forwarder(self.api, port.pod, port.target)
        return Entry(self._forwarder.url, headers)

    def _outside(self, resources: Sequence[Resource]) -> str:
        """The gateway's URL from outside; empty when none can be reached from here."""
        if self._address is None:
            port = find_port(resources, self.inventory.gateways, self.inventory.services)
            if port is None:
                return ""
            places = candidates(port, node_addresses(self.api))
            found = next(((address, number) for address, number in places if reachable(address, number)), None)
            self._address = f"http://{f'[{found[0]}]' if ':' in found[0] else found[0]}:{found[1]}" if found else ""
        return self._address

    def leave_running(self) -> None:
        """Let go of the cluster; nothing in it was started by this command."""
        self.close()

    def close(self) -> None:
        """Close all connections."""
        if self._forwarder is not None:
            self._forwarder.close()
        self._fleet.close()
        self.istiod.close()
        self.api.close()
