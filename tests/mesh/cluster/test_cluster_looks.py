"""Looking again reads only what may have changed, and what it puts together is what real Envoys hold."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runner.istio.load import load_manifests, parse_manifests
from runner.mesh.cluster import watch as watch_module
from runner.mesh.cluster.istiod import parse_syncz
from runner.mesh.cluster.looks import MARK_PATH, look_at, parse_mark, read_dump, read_mark
from runner.mesh.cluster.watch import Watch
from runner.mesh.local.mesh import LocalMesh
from tests.mesh.cluster.sample_cluster import as_on_a_cluster

ISTIO = Path(__file__).parents[3] / "experiments" / "istio"
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody}
spec: {action: DENY, rules: [{to: [{operation: {paths: ["/nothing"]}}]}]}
"""


_SETTLED = 7
"""Seconds: a proxy renews its uptime every five."""


class _Client:
    """A real proxy's admin interface that remembers what it was asked."""

    def __init__(self, client, pod):
        self._client, self.pod, self.asked = client, pod, []

    def get(self, path):
        self.asked.append(path)
        return self._client.get(path)


class _Fleet:
    def __init__(self, clients):
        self.clients, self.silent = clients, {}

    def each(self, ask, names=None):
        return {name: ask(self.clients[name]) for name in names or self.clients}


class _Istiod:
    """Answers with what the proxies acknowledged."""

    why_not = ""

    def __init__(self, proxies):
        self.entries = {f"{proxy}.default": {"proxy": f"{proxy}.default"} for proxy in proxies}

    @property
    def there(self):
        return not self.why_not

    def acknowledge(self, proxy, kind, nonce, *, sent=None, error=""):
        entry = self.entries[f"{proxy}.default"]
        entry[f"{kind}_acked"], entry[f"{kind}_sent"] = nonce, sent or nonce
        entry["resources"] = {"type": {"lastError": error}} if error else {}

    def syncs(self, _namespace):
        return {one.proxy: one for one in parse_syncz(json.dumps(list(self.entries.values())))}


@pytest.fixture(scope="module")
def mesh():
    """Old enough for its proxies to be told from such as were started anew."""
    mesh = LocalMesh.start("bookinfo")
    deadline = time.monotonic() + 60
    clients = [_Client(client, None) for client in mesh._fleet.clients.values()]
    while not all(read_mark(client).uptime > _SETTLED for client in clients):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield mesh
    mesh.close()


@pytest.fixture
def fleet(mesh):
    base = mesh.applied()
    yield _Fleet(
        {
            pod.name: _Client(mesh._fleet.clients[pod.name], as_on_a_cluster(pod))
            for pod in mesh.instance.topology.pods
            if pod.namespace == "default"
        }
    )
    mesh.restore(base)


@pytest.fixture
def watch(fleet):
    found = Watch(fleet, _Istiod(client.pod.name for client in fleet.clients.values()))
    for client in fleet.clients.values():
        found.istiod.acknowledge(client.pod.name, "route", "one")
    found.renew(fleet.clients)
    return found


def _asked(fleet):
    """By proxy, what of its config was asked for since the last time."""
    asked = {}
    for name, client in fleet.clients.items():
        asked[name] = {path.removeprefix("/config_dump") for path in client.asked if path != MARK_PATH}
        client.asked.clear()
    return {name: paths for name, paths in asked.items() if paths}


def test_what_is_put_together_is_what_is_held(mesh, fleet):
    looks = fleet.each(look_at)
    assert set().union(*_asked(fleet).values()) == {""}
    steps = [
        (load_manifests(ISTIO / "destination-rules.yaml"), []),
        (load_manifests(ISTIO / "ratings-delay-2s.yaml"), []),
        (parse_manifests(POLICY, "p.yaml"), []),
    ]
    steps += [([], [item.key for item in put]) for put, _ in reversed(steps)]
    parts = []
    for put, delete in steps:
        mesh.apply(put, delete)
        looks = {name: look_at(client, looks[name]) for name, client in fleet.clients.items()}
        parts.append(set().union(*_asked(fleet).values()))
        assert {name: look.dump for name, look in looks.items()} == fleet.each(read_dump)
        _asked(fleet)
    routes, listeners, clusters = (
        f"?resource=dynamic_{kind}" for kind in ("route_configs", "listeners", "active_clusters")
    )
    assert parts[:3] == [{routes, clusters}, {routes}, {routes, listeners}]
    assert all("" not in part for part in parts)


def test_a_mark_needs_all_its_counters(fleet):
    client = next(iter(fleet.clients.values()))
    mark = read_mark(client)
    assert mark.at_rest
    assert mark.clusters[0] > 0 < mark.listeners[0]
    lines = client.get(MARK_PATH).splitlines()
    assert parse_mark("\n".join(lines)) is not None
    assert all(parse_mark("\n".join(lines[:place] + lines[place + 1 :])) is None for place in range(len(lines)))


def test_a_proxy_that_was_started_anew_counts_from_zero(fleet):
    mark = read_mark(next(iter(fleet.clients.values())))
    earlier = replace(mark, asked=100.0, answered=100.1, uptime=70)
    assert not replace(mark, asked=200.0, answered=200.1, uptime=165).restarted(earlier)
    assert replace(mark, asked=200.0, answered=200.1, uptime=99).restarted(earlier)
    assert mark == replace(mark, asked=0.0, answered=9.0)


def test_nobody_is_looked_at_who_has_acknowledged_nothing(watch, fleet):
    _asked(fleet)
    assert watch.renew(fleet.clients) == set()
    watch.istiod.acknowledge("reviews-v1", "endpoint", "two")
    assert watch.renew(fleet.clients) == set()
    assert _asked(fleet) == {}
    assert all(client.asked == [] for client in fleet.clients.values())


def test_who_has_acknowledged_something_is_looked_at_once_it_has_all(watch, fleet):
    _asked(fleet)
    watch.istiod.acknowledge("reviews-v1", "route", "two", sent="three")
    assert watch.renew(fleet.clients) == set()
    watch.istiod.acknowledge("reviews-v1", "route", "three")
    assert watch.renew(fleet.clients) == {"reviews-v1"}
    assert _asked(fleet) == {"reviews-v1": {"?resource=dynamic_route_configs"}}
    watch.istiod.acknowledge("reviews-v1", "route", "three", sent="four", error="no good")
    assert watch.renew(fleet.clients) == {"reviews-v1"}
    assert watch.renew(["ratings-v1"]) == set()


def test_a_look_that_a_push_overtook_is_known(watch, fleet):
    assert watch.overtaken(watch.istiod.syncs(""), fleet.clients) == set()
    watch.istiod.acknowledge("ratings-v1", "listener", "two")
    assert watch.overtaken(watch.istiod.syncs(""), fleet.clients) == {"ratings-v1"}
    watch.renew(["ratings-v1"])
    assert watch.overtaken(watch.istiod.syncs(""), fleet.clients) == set()


def test_everything_is_read_where_parts_would_not_do(watch, fleet):
    _asked(fleet)
    watch.istiod.acknowledge("reviews-v1", "extensionconfig", "one")
    assert watch.renew(fleet.clients) == {"reviews-v1"}
    assert _asked(fleet) == {"reviews-v1": {""}}
    watch.istiod.why_not = "it is not asked here"
    assert watch.renew(["ratings-v1"]) == {"ratings-v1"}
    assert watch.renew(["ratings-v1"], whole=True) == {"ratings-v1"}
    assert _asked(fleet) == {"ratings-v1": {""}}


def test_who_is_waited_for_is_looked_at_now_and_then(watch, fleet, monkeypatch):
    monkeypatch.setattr(watch_module, "_STALE", 0.0)
    assert watch.renew(["details-v1"]) == {"details-v1"}
