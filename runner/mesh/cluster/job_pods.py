"""The Jobs of Locust's workers on one API server: made, waited for, and removed with their pods."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.errors import MeshError, Position
from runner.istio.resource import Resource, ResourceKey
from runner.mesh.cluster.api import segment
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.job import CONTAINER, GENERATOR, MANAGED_BY
from runner.mesh.cluster.objects import MEMO
from runner.mesh.cluster.pods import PROXY
from runner.yamlfile.documents import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runner.mesh.cluster.api import Api

KIND = "Job"

GONE_LIMIT = 60.0
"""The longest wait, in seconds, for a Job's pods to be gone."""

_POLL = 0.2
_MANAGER = "meshtrial"
_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"})
_PULL_LIMIT = 15.0
"""Seconds for which a registry may refuse before it counts: one that is busy answers a moment later."""
_HOPELESS = frozenset(
    {"InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
)
_UNMADE_LIMIT = 5.0
"""Seconds after which a Job that has too few pods is asked why."""
_LOG_LINES = "5"


def job_resource(body: dict[str, Any], source: str) -> Resource:
    """A Job as a resource, for the journal."""
    metadata = body["metadata"]
    start = Position(f"{source}: {KIND} {metadata['namespace']}/{metadata['name']}", 1, 1)
    return Resource(
        ResourceKey(KIND, metadata["namespace"], metadata["name"]), body, Document(start.file, body, {(): start}, {})
    )


@dataclass(slots=True)
class Jobs:
    """The Jobs that runs made in one namespace.

    Attributes:
        api: the server.
        namespace: the only one.
    """

    api: Api
    namespace: str

    def _path(self, name: str = "") -> str:
        root = f"/apis/batch/v1/namespaces/{segment(self.namespace)}/jobs"
        return f"{root}/{segment(name)}" if name else root

    def held(self) -> list[Resource]:
        """Those that are there, each as the run that made it wrote it.

        None where we may not look: such a Job ends by itself.

        Raises:
            MeshError: the server can't be asked.
        """
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in MANAGED_BY.items())}
        found: list[Resource] = []
        try:
            items = self.api.get(self._path(), query).get("items") or []
        except StatusError as error:
            if not error.forbidden:
                raise
            return found
        for item in items:
            memo = (item["metadata"].get("annotations") or {}).get(MEMO)
            with contextlib.suppress(ValueError, KeyError):
                found.append(job_resource(json.loads(memo or ""), self.api.context))
        return found

    def make(self, resource: Resource) -> None:
        """Make one.

        Raises:
            MeshError: the server refuses it, or we may not.
        """
        body = json.loads(json.dumps(resource.body))
        text = json.dumps(resource.body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        body["metadata"]["annotations"] = {MEMO: text}
        query = {"fieldManager": _MANAGER, "fieldValidation": "Strict"}
        try:
            self.api.call("POST", self._path(), query, body)
        except StatusError as error:
            if error.forbidden:
                raise MeshError(
                    f"the load generators' Job can't be made: {error.message}",
                    advice="Grant what deploy/kustomize/components/load does",
                ) from None
            raise MeshError(f"the API server refused the load generators' Job: {error.message}") from None

    def wait(self, resource: Resource, limit: float, check: Callable[[], None]) -> list[str]:
        """Return the names of its pods once all are ready.

        Args:
            resource: the Job.
            limit: seconds.
            check: called between looks; may raise.

        Raises:
            MeshError: one will not be; says why.
        """
        name, number = resource.key.name, int(resource.spec["parallelism"])
        begun, refused = time.monotonic(), 0.0
        while True:
            check()
            pods = self._pods(name)
            ready = sorted(pod["metadata"]["name"] for pod in pods if _is_ready(pod))
            if len(ready) >= number:
                return ready[:number]
            waited = time.monotonic() - begun
            for pod in pods:
                self._refuse_hopeless(pod)
            pulling = next(((pod, why) for pod in pods if (why := _not_pulled(pod))), None)
            refused = (refused or waited or _POLL) if pulling else 0.0
            if pulling and waited - refused > _PULL_LIMIT:
                raise _unready(*pulling, _IMAGE_ADVICE)
            if len(pods) < number and waited > _UNMADE_LIMIT and (why := self._why_unmade(name)):
                raise MeshError(
                    f"the load generators' pods can't be made: {why}", advice="Look at the namespace's quotas"
                )
            if waited > limit:
                raise self._late(pods, len(ready), number, waited)
            time.sleep(_POLL)

    def _pods(self, name: str) -> list[dict[str, Any]]:
        query = {"labelSelector": f"{GENERATOR}={name}"}
        items = self.api.get(f"/api/v1/namespaces/{segment(self.namespace)}/pods", query).get("items") or []
        return list(items)

    def _refuse_hopeless(self, pod: Mapping[str, Any]) -> None:
        for state in _states(pod):
            waiting, ended = (state.get("state") or {}).get("waiting") or {}, _ended(state)
            if waiting.get("reason") in _HOPELESS:
                raise _unready(
                    pod, f"{waiting['reason']}: {waiting.get('message') or 'no more is told'}", _IMAGE_ADVICE
                )
            if ended and state.get("name") == CONTAINER:
                said = self._log(pod)
                raise _unready(pod, f"it ended at once ({ended}){f': {said}' if said else ''}", _IMAGE_ADVICE)
        status = pod.get("status") or {}
        if status.get("phase") == "Failed":
            raise _unready(pod, str(status.get("message") or status.get("reason") or "it failed"), None)

    def _log(self, pod: Mapping[str, Any]) -> str:
        path = f"/api/v1/namespaces/{segment(self.namespace)}/pods/{segment(pod['metadata']['name'])}/log"
        with contextlib.suppress(MeshError):
            return self.api.text(path, {"container": CONTAINER, "tailLines": _LOG_LINES}).strip()[-300:]
        return ""

    def _why_unmade(self, name: str) -> str:
        """What the Job's controller was refused: a quota, a policy, an admission webhook."""
        path = f"/api/v1/namespaces/{segment(self.namespace)}/events"
        with contextlib.suppress(StatusError):
            query = {"fieldSelector": f"involvedObject.kind={KIND},involvedObject.name={name},reason=FailedCreate"}
            events = self.api.get(path, query).get("items") or []
            return str(events[-1].get("message") or "") if events else ""
        return ""

    def _late(self, pods: Iterable[Mapping[str, Any]], ready: int, number: int, waited: float) -> MeshError:
        for pod in pods:
            if _is_ready(pod):
                continue
            for condition in (pod.get("status") or {}).get("conditions") or []:
                if condition["type"] == "PodScheduled" and condition["status"] == "False":
                    why = f"no node takes it: {condition.get('message') or condition.get('reason')}"
                    advice = "Ask for less (mesh.cluster.generators.cpu or $MESHTRIAL_GENERATOR_CPU, memory), or for fewer workers"
                    return _unready(pod, why, advice)
            waiting = [entry for state in _states(pod) if (entry := (state.get("state") or {}).get("waiting"))]
            if waiting:
                why = "; ".join(f"{entry.get('reason', '')} {entry.get('message', '')}".strip() for entry in waiting)
                return _unready(pod, why, "`kubectl describe pod` says more")
        return MeshError(
            f"{ready} of {number} of the load generators' pods were ready after {waited:.0f} s",
            advice="`kubectl describe job` says more; mesh.cluster.generators.wait is the limit",
        )

    def remove(self, names: Iterable[str]) -> None:
        """Remove Jobs, and return once they and their pods are gone.

        Raises:
            MeshError: some stay, or may not be removed.
        """
        waiting = list(names)
        for name in waiting:
            options = {
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "propagationPolicy": "Foreground",
                "gracePeriodSeconds": 0,
            }
            try:
                self.api.call("DELETE", self._path(name), None, options)
            except StatusError as error:
                if not error.not_found:
                    raise
        deadline = time.monotonic() + GONE_LIMIT
        while waiting:
            waiting = [name for name in waiting if self._there(name)]
            if waiting and time.monotonic() > deadline:
                raise MeshError(
                    f"pods of {', '.join(waiting)} are still there after {GONE_LIMIT:.0f} s",
                    advice="Look at their nodes and finalizers",
                )
            if waiting:
                time.sleep(_POLL)

    def _there(self, name: str) -> bool:
        try:
            self.api.get(self._path(name))
        except StatusError as error:
            if not error.not_found:
                raise
            return bool(self._pods(name))
        return True


_IMAGE_ADVICE = "mesh.cluster.generators.image names the image (deploy/Dockerfile builds it)"


def how_a_pod_ended(api: Api, namespace: str, name: str) -> str:
    """What became of a pod, in words; empty when it is well or can't be looked at."""
    try:
        pod = api.get(f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(name)}")
    except StatusError as error:
        return f"the pod {name} is gone" if error.not_found else ""
    except MeshError:
        return ""
    if pod["metadata"].get("deletionTimestamp"):
        return f"the pod {name} was deleted"
    status = pod.get("status") or {}
    ended = [f"{state['name']} ended: {how}" for state in _states(pod) if (how := _ended(state))]
    if status.get("phase") == "Failed" or ended:
        why = status.get("message") or status.get("reason") or "; ".join(ended)
        return f"the pod {name} failed: {why}"
    return ""


def _unready(pod: Mapping[str, Any], why: str, advice: str | None) -> MeshError:
    return MeshError(f"the load generators' pod {pod['metadata']['name']} can't run: {why.strip()}", advice=advice)


def _states(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]


def _ended(state: Mapping[str, Any]) -> str:
    """How a container ended that ought not to: one of the application, or the sidecar."""
    ended = (state.get("state") or {}).get("terminated")
    if not ended or state.get("name") not in {CONTAINER, PROXY}:
        return ""
    return f"{ended.get('reason') or 'ended'}, exit code {ended.get('exitCode')}"


def _not_pulled(pod: Mapping[str, Any]) -> str:
    for state in _states(pod):
        waiting = (state.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _PULLING:
            return f"{waiting['reason']}: {waiting.get('message') or state.get('image')}"
    return ""


def _is_ready(pod: Mapping[str, Any]) -> bool:
    status = pod.get("status") or {}
    conditions = {entry["type"]: entry["status"] for entry in status.get("conditions") or []}
    return conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp")
