"""Delivering config to the Envoys as files, and reading back what each of them holds.

Envoy watches the files for renames. A version is the hash of what was written; a proxy holds a config when its own stats show
that version for every kind (`cluster_manager.cds.version_text` and so on) and nothing is warming. No sleep stands for that proof.
When a listener's filters change, connections that are open keep the old ones until Envoy has drained them (`--drain-time-s`):
while it does, requests may still be answered by what was before, so the new config counts as held only afterwards.
Clusters are added before the routes that need them and removed after, as istiod's ordering over ADS does.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runner.errors import ConfigRejectedError, MeshError
from runner.mesh.local.admin import AdminError
from runner.mesh.local.instance import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runner.mesh.local.admin import AdminClient, AdminFleet
    from runner.mesh.local.translate import ProxyConfig, ProxyPaths, XdsResource

CONFIRM_LIMIT = 60.0
"""The longest wait, in seconds, for a proxy to take a config: a bound for failure, never a delay."""

_POLL = 0.001
_UNSETTLED = frozenset(
    {
        "cluster_manager.warming_clusters",
        "listener_manager.total_listeners_warming",
        "listener_manager.total_listeners_draining",
        "listener_manager.total_filter_chains_draining",
    }
)
"""Gauges above zero while a part of the config is not in force yet, or still is."""
_STATUS = (
    "/stats?usedonly&filter=^(cluster_manager%5C.(cds%5C.(version_text|update_rejected)|warming_clusters)"
    "|listener_manager%5C.(lds%5C.(version_text|update_rejected)|total_listeners_(warming|draining)"
    "|total_filter_chains_draining|workers_started)"
    "|http%5C..*%5C.rds%5C..*%5C.(version_text|update_rejected))$"
)
"""Used ones only, which spares an Envoy from looking at a thousand names: a counter that is not there never moved."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one proxy is to hold: the text of each file, and the versions its stats must then show."""

    cds: str
    lds: str
    rds: dict[Path, str]
    versions: dict[str, str] = field(default_factory=dict)
    """`cds`, `lds` and each route config's name to version."""

    @property
    def version(self) -> str:
        """One version for the whole config of the proxy."""
        return _hash(json.dumps(self.versions, sort_keys=True))


@dataclass(frozen=True, slots=True)
class Held:
    """What a proxy's own stats say it holds.

    `warming` counts what is not in force yet, or no longer ought to be (draining). `rds` maps a stat name such as
    `http.outbound_0.0.0.0_9080;.rds.9080` to the version of that route config.
    """

    cds: str
    lds: str
    rds: dict[str, str]
    rejected: int
    warming: int

    def holds(self, wanted: Wanted, *, only: frozenset[str] = frozenset({"cds", "lds", "rds"})) -> bool:
        """Whether this is `wanted` (or the given kinds of it)."""
        if self.warming:
            return False
        if "cds" in only and self.cds != wanted.versions["cds"]:
            return False
        if "lds" in only and self.lds != wanted.versions["lds"]:
            return False
        return "rds" not in only or self.routes_of(wanted)

    def routes_of(self, wanted: Wanted) -> bool:
        """Whether every route config that a listener uses has the wanted version."""
        return all(
            any(stat.endswith(f".rds.{name}") for stat in self.rds)
            and all(held == version for stat, held in self.rds.items() if stat.endswith(f".rds.{name}"))
            for name, version in wanted.versions.items()
            if name not in {"cds", "lds"}
        )


def wanted(config: ProxyConfig, paths: ProxyPaths) -> Wanted:
    """The files and versions of a translated config."""
    cds, cds_version = _file(config.clusters)
    lds, lds_version = _file(config.listeners)
    versions = {"cds": cds_version, "lds": lds_version}
    routes: dict[Path, str] = {}
    for route in config.routes:
        text, version = _file([route])
        routes[paths.route(route.name)] = text
        versions[route.name] = version
    return Wanted(cds, lds, routes, versions)


def _file(resources: Sequence[XdsResource]) -> tuple[str, str]:
    body = json.dumps([resource.config for resource in resources], sort_keys=True)
    version = _hash(body)
    return f'{{"version_info": "{version}", "resources": {body}}}', version


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_first(config: Wanted, paths: ProxyPaths) -> None:
    """Write all files before the proxy starts."""
    for path, text in config.rds.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    write_atomically(paths.cds, config.cds)
    write_atomically(paths.lds, config.lds)


def read_held(client: AdminClient) -> Held:
    """What a proxy holds now.

    Raises:
        AdminError: it does not answer.
    """
    cds = lds = ""
    routes: dict[str, str] = {}
    rejected = warming = 0
    started = False
    for line in client.get(_STATUS).splitlines():
        name, _, value = line.rpartition(": ")
        value = value.strip('"')
        if name == "cluster_manager.cds.version_text":
            cds = value
        elif name == "listener_manager.lds.version_text":
            lds = value
        elif name.endswith(".version_text"):
            routes[name.removesuffix(".version_text")] = value
        elif name.endswith("update_rejected"):
            rejected += int(value)
        elif name in _UNSETTLED:
            warming += int(value)
        elif name == "listener_manager.workers_started":
            started = value != "0"
    return Held(cds, lds, routes, rejected, warming if started else warming + 1)


def push(client: AdminClient, before: Wanted | None, after: Wanted, paths: ProxyPaths, envoy_log: Path) -> Held:
    """Bring one proxy from `before` to `after` and return once it holds it.

    Raises:
        ConfigRejectedError: the proxy refused something; its own words.
        MeshError: it did not take the config within the limit.
        AdminError: it does not answer.
    """
    start = read_held(client)
    log_offset = envoy_log.stat().st_size if envoy_log.exists() else 0

    def confirm(kinds: frozenset[str], versions: Wanted) -> Held:
        return _confirm(client, versions, kinds, start.rejected, envoy_log, log_offset)

    old_clusters = _by_name(before.cds) if before else {}
    new_clusters = _by_name(after.cds)
    gone = [cluster for name, cluster in old_clusters.items() if name not in new_clusters]
    if start.cds != after.versions["cds"]:
        if gone:
            both = [*new_clusters.values(), *gone]
            version = _hash(json.dumps(both, sort_keys=True))
            text = json.dumps({"version_info": version, "resources": both})
            write_atomically(paths.cds, text)
            confirm(frozenset({"cds"}), Wanted(text, after.lds, after.rds, {**after.versions, "cds": version}))
        else:
            write_atomically(paths.cds, after.cds)
            confirm(frozenset({"cds"}), after)
    for path, text in after.rds.items():
        if before is None or before.rds.get(path) != text or not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
    if start.lds != after.versions["lds"]:
        write_atomically(paths.lds, after.lds)
    held = confirm(frozenset({"lds", "rds"}), after)
    if gone:
        write_atomically(paths.cds, after.cds)
        held = confirm(frozenset({"cds", "lds", "rds"}), after)
    if before:
        for path in set(before.rds) - set(after.rds):
            path.unlink(missing_ok=True)
    return held


def _by_name(cds: str) -> dict[str, Any]:
    return {cluster["name"]: cluster for cluster in json.loads(cds)["resources"]}


def _confirm(
    client: AdminClient,
    target: Wanted,
    kinds: frozenset[str],
    rejected_before: int,
    envoy_log: Path,
    log_offset: int,
) -> Held:
    deadline = time.monotonic() + CONFIRM_LIMIT
    while True:
        held = read_held(client)
        if held.rejected > rejected_before:
            raise ConfigRejectedError(
                f"{client.pod.name}: Envoy refused the config: {envoy_words(envoy_log, log_offset)}"
            )
        if held.holds(target, only=kinds):
            return held
        if time.monotonic() > deadline:
            raise MeshError(
                f"{client.pod.name} did not take its config within {CONFIRM_LIMIT:.0f} s",
                advice=f"Its log is {envoy_log}",
            )
        time.sleep(_POLL)


def envoy_words(log: Path, offset: int = 0) -> str:
    """What Envoy itself said about a refusal: the warnings in its log since `offset`."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return f"no reason found (its log {log} can't be read)"
    lines = [line for line in text.splitlines() if "reject" in line.lower() or "error" in line.lower()]
    words = [line.rpartition("] ")[2].strip() or line for line in lines[-3:]]
    return " / ".join(dict.fromkeys(words)) or f"no reason found in its log {log}"


def held_versions(fleet: AdminFleet, wanted_by_pod: Mapping[str, Wanted]) -> dict[str, str]:
    """The version each proxy holds now; a proxy that does not answer is missing.

    A proxy that holds exactly what it was given shows that config's version; one that does not, a version made from what it
    says it holds, so that any change between two readings shows.
    """

    def ask(client: AdminClient) -> str:
        held = read_held(client)
        expected = wanted_by_pod.get(client.pod.name)
        if expected and held.holds(expected):
            return expected.version
        return "other-" + _hash(json.dumps([held.cds, held.lds, sorted(held.rds.items())]))

    return fleet.each(ask)


__all__ = ["AdminError", "Held", "Wanted", "envoy_words", "held_versions", "push", "read_held", "wanted", "write_first"]
