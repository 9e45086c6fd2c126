"""What istiod itself says: which objects it has read, which pushes each proxy has acknowledged, and what it is.

Its debug endpoints answer only to its own host, so they are reached through a port-forward to its monitoring port, as istioctl
does. Where that is not allowed, a run is confirmed by the proxies alone.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import MeshError
from runner.mesh.cluster.admin import HttpOverPod
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.pods import list_pods

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.istio.resource import ResourceKey
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.pods import Pod

ROOT_NAMESPACE = "istio-system"
_MONITORING = 15014
_TYPES = {"cds": "cluster", "lds": "listener", "rds": "route", "eds": "endpoint", "ecds": "extensionconfig"}


@dataclass(frozen=True, slots=True)
class Sync:
    """How far one proxy is, in istiod's eyes.

    Attributes:
        proxy: `POD.NAMESPACE`.
        sent: the last push sent, by xDS type (`cds`, `lds`, `rds`, `eds`, `ecds`): its number.
        acked: the last push acknowledged.
        settled: whether everything sent was acknowledged.
        nonces: of what was acknowledged, by xDS type: another one for every answer, also of one push.
        rejected: what the proxy said about a push that it refused.
        istio: the proxy's Istio version.
    """

    proxy: str
    sent: dict[str, int]
    acked: dict[str, int]
    settled: bool
    rejected: str = ""
    istio: str = ""
    nonces: dict[str, str] = field(default_factory=dict)

    @property
    def last_acked(self) -> int:
        """The number of the youngest push of which the proxy has acknowledged anything."""
        return max(self.acked.values(), default=0)


def parse_syncz(text: str) -> list[Sync]:
    """Istiod's `/debug/syncz`.

    Raises:
        ValueError: it is none.
    """
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError("not a list")  # noqa: TRY004 - of another shape than syncz
    return [_sync(entry) for entry in entries]


def _sync(entry: dict[str, Any]) -> Sync:
    sent = {short: str(entry.get(f"{name}_sent") or "") for short, name in _TYPES.items()}
    acked = {short: str(entry.get(f"{name}_acked") or "") for short, name in _TYPES.items()}
    errors = [str(item["lastError"]) for item in (entry.get("resources") or {}).values() if item.get("lastError")]
    return Sync(
        proxy=str(entry.get("proxy") or ""),
        sent={short: push_number(nonce) for short, nonce in sent.items()},
        acked={short: push_number(nonce) for short, nonce in acked.items()},
        settled=sent == acked,
        rejected="; ".join(errors),
        istio=str(entry.get("istio_version") or ""),
        nonces=acked,
    )


def push_number(nonce: str) -> int:
    """The number of the push that a nonce belongs to (`2026-11-24T09:00:00Z/12` and a UUID); 0 of an empty one."""
    _, slash, rest = nonce.partition("/")
    uuid_length = 36
    digits = rest[:-uuid_length] if len(rest) > uuid_length else rest
    return int(digits) if slash and digits.isdigit() else 0


@dataclass(slots=True)
class Istiod:
    """All istiods that we may look at: with several, each knows the proxies that are connected to it.

    Attributes:
        why_not: why they can't be asked; empty when they can.
    """

    api: Api
    pods: list[Pod] = field(default_factory=list)
    why_not: str = ""
    _ways: list[HttpOverPod] = field(default_factory=list)

    @classmethod
    def find(cls, api: Api) -> Istiod:
        """Those in `istio-system`, asked once to see whether they answer.

        Raises:
            MeshError: the API server can't be asked.
        """
        try:
            pods = _ready(api)
        except StatusError as error:
            if not error.forbidden:
                raise
            return cls(api, why_not=f"istiod can't be looked at: {error.message}")
        found = cls(api, pods, _ways=_ways_to(api, pods))
        if not pods:
            found.why_not = f"there is no istiod that is ready in {ROOT_NAMESPACE}"
            return found
        try:
            found.syncs("none")
        except (MeshError, ValueError) as error:
            found.why_not = f"istiod does not answer: {error}"
        return found

    @property
    def there(self) -> bool:
        """Whether they can be asked."""
        return bool(self._ways) and not self.why_not

    def syncs(self, namespace: str) -> dict[str, Sync]:
        """How far the proxies of a namespace are (an empty one: all), by `POD.NAMESPACE`.

        Raises:
            MeshError: an istiod does not answer.
            ValueError: it answers something else.
        """
        query = f"?namespace={namespace}" if namespace else ""
        found: dict[str, Sync] = {}
        for text in self._ask(f"/debug/syncz{query}"):
            found.update({sync.proxy: sync for sync in parse_syncz(text)})
        return found

    def versions(self, keys: Iterable[ResourceKey]) -> list[dict[ResourceKey, str]]:
        """For each istiod, the resourceVersion of each object that it has read, of `keys`.

        Raises:
            MeshError: one does not answer.
            ValueError: it answers something else.
        """
        wanted = {(key.kind, key.namespace, key.name): key for key in keys}
        answers = []
        for text in self._ask("/debug/configz"):
            seen: dict[ResourceKey, str] = {}
            for item in json.loads(text):
                metadata = item.get("metadata") or {}
                key = wanted.get(
                    (str(item.get("kind")), str(metadata.get("namespace") or ""), str(metadata.get("name")))
                )
                if key is not None:
                    seen[key] = str(metadata.get("resourceVersion") or "")
            answers.append(seen)
        return answers

    def metrics(self) -> dict[str, str]:
        """Each istiod's metrics in Prometheus' text format, by pod.

        Raises:
            MeshError: one does not answer.
        """
        answers = self._ask("/metrics")
        return {pod.name: answer for pod, answer in zip(self.pods, answers, strict=True)}

    def version(self) -> str:
        """Istio's version; empty when it can't be told."""
        if not self.there:
            return ""
        with contextlib.suppress(MeshError, ValueError):
            text = self._ways[0].get("/version")
            return text.strip().partition("-")[0]
        return ""

    def _ask(self, path: str) -> list[str]:
        """What each answers; of one that was replaced meanwhile (a rollout, a lost node), its successor.

        Raises:
            MeshError: one does not answer.
        """
        try:
            return [way.get(path) for way in self._ways]
        except MeshError:
            pods = _ready(self.api)
            if not pods or {pod.name for pod in pods} == {pod.name for pod in self.pods}:
                raise
            self.close()
            self.pods, self._ways = pods, _ways_to(self.api, pods)
            return [way.get(path) for way in self._ways]

    def close(self) -> None:
        """Close all connections."""
        for way in self._ways:
            way.close()


def _ready(api: Api) -> list[Pod]:
    return [pod for pod in list_pods(api, ROOT_NAMESPACE, {"app": "istiod"}) if pod.ready]


def _ways_to(api: Api, pods: Iterable[Pod]) -> list[HttpOverPod]:
    return [HttpOverPod(api, pod.namespace, pod.name, _MONITORING) for pod in pods]
