"""A whole state tried on a cluster before anything is touched: what the cluster can't hold, may not be asked for, or would not obey."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import InputError, MeshError, Problem
from runner.istio.hosts import host_matches
from runner.istio.lint import lint
from runner.istio.load import says_more
from runner.istio.peer_authentication import ROOT_NAMESPACE
from runner.mesh.cluster.claims import SHARED_GATEWAYS, shared_gateways
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.expect import kind_of
from runner.mesh.cluster.gateway_routes import NEW, OWN_HOST, rivals
from runner.mesh.cluster.held import held_of
from runner.mesh.cluster.objects import resource_of
from runner.mesh.cluster.pod_labels import pod_labels
from runner.mesh.cluster.refusal import refusal_problems
from runner.mesh.cluster.same_hosts import hidden_by_export, same_hosts
from runner.mesh.cluster.touched import misplaced
from runner.mesh.cluster.traces import UNPROVEN
from runner.mesh.cluster.visible import KIND as SIDECAR
from runner.mesh.cluster.visible import egresses, unseen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.istio.resource import Resource
    from runner.mesh.cluster.gateway_routes import Rival
    from runner.mesh.cluster.held import Held
    from runner.mesh.cluster.pods import Pod
    from runner.mesh.cluster.store import Store

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_VERBS = ("create", "update", "delete")
_OFFERS = frozenset({"ServiceEntry", "Service", "Gateway", "DestinationRule"})
"""Kinds that others refer to, also where not all of what they say is known."""
_MANAGERS = {
    "app.kubernetes.io/managed-by": "",
    "argocd.argoproj.io/instance": "Argo CD",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}


@dataclass(slots=True)
class Checker:
    """Tries states on one namespace.

    Attributes:
        store: its objects, read.
        pods: the pods that proxies run in, and the apps'.
        no_istiod: why istiod can't be asked whether config has arrived; empty when it can.
        targets: the gateway pods' ports by the port of their Service.
    """

    store: Store
    pods: Sequence[Pod]
    no_istiod: str = ""
    targets: Mapping[int, set[int]] = field(default_factory=dict)

    def check(self, resources: Sequence[Resource]) -> list[str]:
        """Warnings about a whole state, one sentence each.

        Raises:
            InputError: a resource can't be held by this cluster.
            MeshError: the cluster lacks a kind, or we a permission.
        """
        known = self.store.known()
        put = [item for item in resources if item.key not in known or not _same(item, known[item.key].resource)]
        others = list(self._hosts_of_others(put, resources))
        problems = [*misplaced(put, self.store.namespace), *self._hidden(put)]
        problems += [item for item in others if isinstance(item, Problem)]
        if problems:
            raise InputError(problems)
        for resource in put:
            self.store.places.need(resource.key.kind)
            if self.no_istiod and resource.key.kind in UNPROVEN:
                raise MeshError(
                    f"{resource.position()}: proxies do not show by themselves whether they hold {resource.key}, and {self.no_istiod}",
                    advice="Bind the Role of deploy/kustomize/istio, by which istiod can be asked",
                )
        self._permissions({(item.key.kind, item.key.namespace) for item in put})
        warnings = [*self._owners(put), *self._lint(put, resources)]
        shared = shared_gateways(resources, [held.resource for held in self._held_elsewhere("Gateway")], self.targets)
        warnings += [f"{text}. {SHARED_GATEWAYS}" for text in shared]
        warnings += [item for item in others if isinstance(item, str)]
        warnings += self._unseen(put, resources)
        refused = self.store.try_out(put)
        if refused:
            raise InputError([problem for item, error in refused for problem in refusal_problems(item, error)])
        return list(dict.fromkeys(warnings))

    def _hidden(self, put: Iterable[Resource]) -> Iterator[Problem]:
        for resource in put:
            if resource.key.kind in self.store.hidden and resource.key.namespace == self.store.namespace:
                yield Problem(
                    f"{resource.key.kind}s of {self.store.namespace} may not be listed, so {resource.key} could not be given back",
                    resource.position(),
                )

    def _hosts_of_others(self, put: Sequence[Resource], state: Sequence[Resource]) -> Iterator[Problem | str]:
        """Of two VirtualServices of one host istiod takes the older one, at a gateway that one's routes first."""
        known = self.store.known()
        ours = {item.key for item in put}
        elsewhere = self._held_elsewhere("VirtualService")
        beside = [known[item.key] for item in state if item.key in known and item.key not in ours]
        times = {key: held.created for key, held in known.items()}
        yield from hidden_by_export(put, self.store.namespace)
        yield from same_hosts(put, [*beside, *elsewhere], times, self.store.namespace)
        written = {item.key: item for item in put}
        for rival in self._rivals(state, elsewhere):
            if not rival.lost or rival.ours not in written:
                yield f"{rival}. {OWN_HOST}"
                continue
            yield Problem(str(rival), written[rival.ours].position("spec", "hosts"), suggestion=OWN_HOST)

    def _rivals(self, state: Sequence[Resource], elsewhere: Sequence[Held]) -> Iterator[Rival]:
        times = {key: held.created for key, held in self.store.known().items()}
        spaces = {pod.namespace for pod in self.pods if pod.gateway}
        return rivals([(item, times.get(item.key, NEW)) for item in state], elsewhere, state, spaces)

    def answered_elsewhere(self, state: Sequence[Resource], host: str | None) -> list[Problem]:
        """Why load that enters at the gateway under a host would be answered by another namespace's routes in the place of ours."""
        name = (host or "").partition(":")[0]
        return [
            Problem(str(rival), suggestion=OWN_HOST)
            for rival in self._rivals(state, self._held_elsewhere("VirtualService"))
            if rival.lost and (not name or host_matches(rival.host, name))
        ]

    def _unseen(self, put: Sequence[Resource], state: Sequence[Resource]) -> Iterator[str]:
        """What a Sidecar resource hides from callers.

        Raises:
            MeshError: it hides a VirtualService from all of them, and is no part of what is to be tried.
        """
        ours = {item.key for item in put}
        whole_mesh = [
            held.resource for held in self._held_elsewhere(SIDECAR) if held.resource.key.namespace == ROOT_NAMESPACE
        ]
        callers = [pod for pod in self.pods if pod.namespace == self.store.namespace]
        gateways = {item.key for item in put if set(item.spec.get("gateways") or ["mesh"]) - {"mesh"}}
        for found in unseen(put, callers, egresses([*state, *whole_mesh])):
            lost = [key for key in found.resources if key.kind == "VirtualService" and key not in gateways]
            if lost and found.everywhere and not ours & set(found.sidecars):
                raise MeshError(
                    f"no proxy would hold {lost[0]}: {' and '.join(map(str, found.sidecars))} hides its hosts from every sidecar of "
                    f"{self.store.namespace}",
                    advice="Add its hosts to spec.egress there, or take that away for the run. Nothing was changed",
                )
            yield str(found)

    def _held_elsewhere(self, kind: str) -> list[Held]:
        """Of other namespaces, as far as they may be seen."""
        place = self.store.places.find(kind)
        if place is None:
            return []
        try:
            items = self.store.api.get(f"/apis/{place.group}/{place.version}/{place.plural}").get("items") or []
        except StatusError:
            return []  # only this namespace may be seen
        found = [held_of(item, place, self.store.api.context) for item in items]
        return [item for item in found if item.resource.key.namespace != self.store.namespace]

    def _permissions(self, kinds: Iterable[tuple[str, str]]) -> None:
        """Check that resources of kinds, each in a namespace, may be changed."""
        missing: dict[str, dict[str, list[str]]] = {}
        for kind, namespace in sorted(kinds):
            place = self.store.places.need(kind)
            for verb in _VERBS:
                attributes = {"namespace": namespace, "group": place.group, "resource": place.plural, "verb": verb}
                if not self._allowed(attributes):
                    missing.setdefault(namespace, {}).setdefault(verb, []).append(place.plural)
        if missing:
            where = " and ".join(missing)
            lists = (item for verbs in missing.values() for item in verbs.items())
            words = "; ".join(f"{verb} {', '.join(plurals)}" for verb, plurals in lists)
            raise MeshError(
                f"the context {self.store.api.context} may not do what this run needs in {where}: {words}",
                advice="Bind the Role of docs/guide/cluster.md to it, or use another context. Nothing was changed",
            )

    def _allowed(self, attributes: dict[str, str]) -> bool:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        try:
            answer = self.store.api.call("POST", _REVIEWS, None, body)
        except StatusError:
            return True  # can't be asked: the write itself will tell
        return bool((answer.get("status") or {}).get("allowed"))

    def _owners(self, put: Iterable[Resource]) -> Iterator[str]:
        known = self.store.known()
        for resource in put:
            held = known.get(resource.key)
            owner = _owner(held.resource) if held else ""
            if owner:
                yield (
                    f"{resource.key} on the cluster belongs to {owner}, which may put it back during the run: the run would "
                    f"then end with a conflict. Pause it first"
                )

    def _lint(self, put: Sequence[Resource], state: Sequence[Resource]) -> Iterator[str]:
        """Known traps; those of what stands on the cluster already are no reason to refuse a run."""
        if "Service" in self.store.hidden:
            return
        readable = [
            item
            for item in (*state, *self._services_elsewhere())
            if kind_of(item) is not None or (item.key.kind in _OFFERS and says_more(item))
        ]
        home = self.store.namespace
        labels = pod_labels(self.store.api, home, self.pods, state)
        files = {item.position().file for item in put}
        problems = []
        for finding in lint(readable, labels, whole=(home,)):
            ours = finding.problem.where is None or finding.problem.where.file in files
            if finding.severity == "error" and ours:
                problems.append(finding.problem)
            elif ours:
                yield str(finding.problem)
        if problems:
            raise InputError(problems)

    def _services_elsewhere(self) -> list[Resource]:
        place = self.store.places.need("Service")
        try:
            items = self.store.api.get("/api/v1/services").get("items") or []
        except StatusError:
            return []
        found = [resource_of(item, place, self.store.api.context) for item in items]
        return [item for item in found if item.key.namespace != self.store.namespace]


def _same(one: Resource, other: Resource) -> bool:
    return one.canonical() == other.canonical()


def _owner(resource: Resource) -> str:
    metadata: dict[str, Any] = resource.body.get("metadata") or {}
    for reference in metadata.get("ownerReferences") or []:
        return f"{reference.get('kind')} {reference.get('name')}"
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    for mark, name in _MANAGERS.items():
        if mark in marks:
            return name or str(marks[mark])
    return ""
