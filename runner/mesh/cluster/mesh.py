"""A Kubernetes cluster with Istio as a `Mesh`: apply is write and confirm; undo is the same with what was there before."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from runner.errors import ConfigRejectedError, MeshError
from runner.mesh.base import Entry
from runner.mesh.cluster.agreement import DEBOUNCE_MAX, youngest_push
from runner.mesh.cluster.app import wait_for_rollout, wait_until_gone
from runner.mesh.cluster.changes import change_of
from runner.mesh.cluster.check import Checker
from runner.mesh.cluster.connect import IN_CLUSTER
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
from runner.mesh.cluster.inside import FRONT, inside_entry, inside_problems
from runner.mesh.cluster.inventory import warn_of_bare
from runner.mesh.cluster.istiod import ROOT_NAMESPACE
from runner.mesh.cluster.job_host import inside_url, refuse_bare
from runner.mesh.cluster.job_pods import KIND
from runner.mesh.cluster.lease import NamespaceLease
from runner.mesh.cluster.opened import OpenedNamespace
from runner.mesh.cluster.origin import Origin, origin_of
from runner.spec.load_profile import GATEWAY_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from runner.errors import Problem
    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.base import Generators
    from runner.mesh.cluster.confirm import Before
    from runner.mesh.cluster.held import Held

IN_FLIGHT = 2.0
"""Seconds after which a request that a command sent when it was killed has been carried out or dropped by the API server: only then is
it known what that command left."""


class ClusterMesh(OpenedNamespace):
    """One namespace of a cluster as a mesh; make one with `open` or `reopen`."""

    def applied(self) -> list[Resource]:
        """What the namespace holds, of the kinds that a run may touch; Jobs of dead runs only for who came to clean up.

        Raises:
            MeshError: the API server can't be asked.
        """
        return [*self.store.read(), *self._generators.held()]

    @contextlib.contextmanager
    def hold(self, who: str) -> Iterator[None]:
        """The right to change this namespace, for as long as the context lasts.

        Raises:
            MeshError: another command has it.
        """
        with self._lease.held(who), contextlib.ExitStack() as self._holding:
            self._holder = who
            self._wait_for_the_dead(self._lease)
            self.store.read()
            try:
                yield
            finally:
                self._holder = ""

    def _wait_for_the_dead(self, lease: NamespaceLease) -> None:
        if lease.inherited:
            time.sleep(IN_FLIGHT)

    def reach(self, keys: Iterable[ResourceKey]) -> None:
        """Look at these resources of the mesh's root namespace too, and hold the right to change it as that to the run's own.

        Raises:
            MeshError: another command changes it.
        """
        keys = list(keys)
        self._generators.reach(keys)
        if self.store.reach(keys) and self._holder and not self._root_lease:
            self._root_lease = NamespaceLease(self.api, ROOT_NAMESPACE)
            self._holding.enter_context(self._root_lease.held(self._holder))
            self._holding.callback(self._let_go_of_root)
            self._wait_for_the_dead(self._root_lease)

    def _let_go_of_root(self) -> None:
        self._root_lease = None

    def check(self, resources: Sequence[Resource]) -> list[str]:
        """Try a whole state without touching anything: lint, other owners, permissions, and the API server's own dry run.

        Raises:
            InputError: a resource can't be held by this cluster.
            MeshError: the cluster lacks a kind, or we a permission.
        """
        warnings = self._checker().check(resources)
        warnings += self.inventory.notes
        warnings += warn_of_bare(self._bare(), resources, self.namespace)
        known = self.store.known()
        changed = [
            item
            for item in resources
            if item.key not in known or item.canonical() != known[item.key].resource.canonical()
        ]
        self._confirmer.planned.update((item.key, item.canonical()) for item in changed)
        warnings += self._confirmer.drains.cost({item.key.kind for item in changed})
        if not self.istiod.there:
            warnings.append(f"config is confirmed by the proxies alone: {self.istiod.why_not}")
        if (
            self._from_outside
            and find_port(resources, self.inventory.gateways, self.inventory.services)
            and not self._outside(resources)
        ):
            warnings.append(TUNNEL_LIMITS)
        return warnings

    def entry_problems(self, resources: Sequence[Resource], source: str, host: str | None) -> list[tuple[str, Problem]]:
        """What is wrong with a load's `from` and `host` in a state, each under its key."""
        if source not in GATEWAY_NAMES:
            origin = self._origin(source)
            return inside_problems(origin.pods, origin.workload, host, self.workloads())
        if find_port(resources, self.inventory.gateways, self.inventory.services) is None:
            return [("from", problem) for problem in no_gateway().problems]
        return [("from", problem) for problem in self._checker().answered_elsewhere(resources, host)]

    def _checker(self) -> Checker:
        targets = target_ports(self.inventory.services, self.inventory.gateways)
        return Checker(self.store, self.inventory.everyone, self.istiod.why_not, targets)

    def apply(self, put: Sequence[Resource], delete: Sequence[ResourceKey] = ()) -> dict[str, str]:
        """Replace or add `put`, remove `delete`; returns once every proxy holds the result, and none has a connection of before it.

        Raises:
            ConfigRejectedError: the API server, a webhook or a proxy refused; what was there before was put back.
            MeshError: the API server did not do its part, and what was there before was put back; or some proxy does not show the
                result in time: the objects are written then, and the caller puts back what was there.
        """
        delete = self._without_generators(delete)
        prior, before = self.store.known(), self._confirmer.before()
        written = self.store.change(put, delete)
        try:
            versions = self._arrived(prior, before, put, delete, written)
        except ConfigRejectedError as error:
            error.restored = self._take_back(prior, put, delete)
            raise
        self._confirmer.drains.settle()
        return versions

    def give_back(self, put: Sequence[Resource], delete: Sequence[ResourceKey] = ()) -> dict[str, str]:
        """Undo an `apply`: every object for itself, and connections of before may be left. The next `apply` waits for their end.

        Raises:
            ChangedError: somebody changed an object since it was last looked at; all others are written, and confirmed.
            MeshError: the API server did not do its part, or some proxy does not show the result in time; says what was written.
        """
        delete = self._without_generators(delete)
        prior, before = self.store.known(), self._confirmer.before()
        written, failure = self.store.give_back(put, delete)
        there, now = {held.resource.key for held in written}, self.store.known()
        put = [item for item in put if item.key in there]
        delete = [key for key in delete if key not in now]
        if failure is not None and not (put or delete):
            raise failure
        versions = self._arrived(prior, before, put, delete, written)
        if failure is not None:
            raise failure
        return versions

    def _without_generators(self, delete: Sequence[ResourceKey]) -> list[ResourceKey]:
        """Remove Jobs; what else is to be deleted."""
        if self._generators.remove(delete):
            self._rediscover()
        return [key for key in delete if key.kind != KIND]

    def _arrived(
        self,
        prior: dict[ResourceKey, Held],
        before: Before,
        put: Sequence[Resource],
        delete: Sequence[ResourceKey],
        written: Sequence[Held],
    ) -> dict[str, str]:
        """Return once every proxy holds what was written; the config version that each holds."""
        self._confirmer.again = lambda keys: self._delete_again(prior, keys)
        self._follow_workloads(put, delete)
        return self._confirmer.wait(change_of(self.store, self.inventory, prior, put, delete, written), before)

    def last_writer(self, key: ResourceKey) -> str:
        """Who last wrote an object, and when, as `metadata.managedFields` tells."""
        held = self.store.known().get(key)
        return held.by if held is not None and held.by != "unknown" else ""

    def _delete_again(self, prior: dict[ResourceKey, Held], keys: Sequence[ResourceKey]) -> None:
        """Put resources back and delete them once more, so that istiod sees them go; each in a push of its own."""
        earlier = youngest_push(self.istiod, self._fleet)
        self.store.change([prior[key].resource for key in keys], [])
        deadline = time.monotonic() + DEBOUNCE_MAX
        while earlier >= youngest_push(self.istiod, self._fleet) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.store.change([], keys)

    def _follow_workloads(self, put: Sequence[Resource], delete: Sequence[ResourceKey]) -> None:
        """After a change of workloads: wait for their pods, and look at who is there now."""
        changed = [item.key for item in put if item.key.kind == "Deployment"]
        gone = [key for key in delete if key.kind == "Deployment"]
        if changed:
            wait_for_rollout(self.api, self.namespace, changed)
        if gone:
            wait_until_gone(self.api, self.namespace, gone)
        if changed or gone:
            self._rediscover()

    def _take_back(self, prior: dict[ResourceKey, Held], put: Sequence[Resource], delete: Sequence[ResourceKey]) -> str:
        keys = [*(item.key for item in put), *delete]
        back = [prior[key].resource for key in keys if key in prior]
        gone = [key for key in keys if key not in prior]
        try:
            before = self._confirmer.before()
            known = self.store.known()
            written = self.store.change(back, gone)
            self._follow_workloads(back, gone)
            self._confirmer.wait(change_of(self.store, self.inventory, known, back, gone, written), before)
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
        return self.give_back(put, [key for key in touched if key not in wanted and key in known])

    def entry(self, source: str, host: str | None = None) -> Entry:
        """Where load enters: at the gateway's address, or through a port-forward to it; or which pod it leaves from.

        Raises:
            InputError: load can't leave from a workload, or there is no gateway.
            MeshError: the gateway can't be reached.
        """
        if source not in GATEWAY_NAMES:
            origin = self._origin(source)
            return inside_entry(
                self.api.context, origin.pods, origin.workload, origin.host(host or FRONT, self.namespace)
            )
        resources = [held.resource for held in self.store.known().values()]
        headers = {"Host": host} if host else {}
        address = self._outside(resources) if self._forwarder is None else ""
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
            places = candidates(port, node_addresses(self.api), inside=self.api.context == IN_CLUSTER)
            found = next(((address, number) for address, number in places if reachable(address, number)), None)
            if found is None:  # a Gateway of this run may not be served yet: to be asked again
                return ""
            self._address = f"http://{f'[{found[0]}]' if ':' in found[0] else found[0]}:{found[1]}"
        return self._address

    def expect_load(self, *, from_outside: bool) -> None:
        """Told whether any load will come from this machine: only then does it matter how the gateway is reached from here."""
        self._from_outside = from_outside

    def plan_generators(self, source: str, number: int, hold: tuple[str, ...]) -> Generators:
        """Pods whose load leaves from `source`, as a Job.

        Raises:
            InputError: the workload has no pod, or no image is known.
            MeshError: the API server can't be asked.
        """
        return self._generators.plan(self.inventory, self._labels, source, number, hold)

    def _origin(self, source: str) -> Origin:
        return origin_of(self.api, self.namespace, self.inventory.pods, source)

    def start_generators(self, wanted: Sequence[Generators], check: Callable[[], None]) -> list[list[tuple[str, ...]]]:
        """Make the Jobs; what reaches into each of their pods once all are ready.

        Raises:
            MeshError: a pod can't run; says why.
        """
        reached = self._generators.start(wanted, check)
        self._rediscover()
        refuse_bare(self.inventory, wanted)
        return reached

    def end_generators(self, wanted: Sequence[Generators]) -> None:
        """Remove the Jobs and their pods.

        Raises:
            MeshError: something is left.
        """
        self._generators.remove(one.resource.key for one in wanted)
        self._rediscover()

    def entry_inside(self, source: str, host: str | None = None) -> Entry:
        """Where pods send their requests: the service itself, or the gateway's Service.

        Raises:
            InputError: no Service leads to the gateway.
        """
        resources = [held.resource for held in self.store.known().values()]
        if source not in GATEWAY_NAMES:
            host = self._origin(source).host(host or FRONT, self.namespace)
        return inside_url(self.inventory, resources, source, host)

    def leave_running(self) -> None:
        """Let go of the cluster; nothing in it was started by this command."""
        self.close()
