"""What istiod has to say before a change counts as arrived, with its answers in its own form."""

import json
from dataclasses import dataclass, field

import pytest

from runner.errors import ConfigRejectedError
from runner.istio.load import parse_manifests
from runner.mesh.cluster import agreement as agreement_module
from runner.mesh.cluster.agreement import Agreement
from runner.mesh.cluster.confirm import Before, Change
from runner.mesh.cluster.dump import parse_dump
from runner.mesh.cluster.expect import State
from runner.mesh.cluster.istiod import parse_syncz
from runner.mesh.cluster.pods import Pod

LOGS = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: logs}
spec: {selector: {matchLabels: {app: a}}}
"""
UUID = "b82b06e-280a-447b-b61c-6215ae4b7d37a"
TYPES = ("cluster", "listener", "route", "endpoint")


def entry(name, number=5, error="", **more):
    """A proxy in istiod's `/debug/syncz`, all of whose types are at one push but for some."""
    found = {"proxy": f"{name}.shop", "istio_version": "1.31.0", "resources": {}}
    for kind in TYPES:
        nonce = f"2026-11-24T12:39:21Z/{more.get(kind, number)}{UUID}"
        found |= {f"{kind}_sent": nonce, f"{kind}_acked": nonce}
    if error:
        found["resources"] = {"type.googleapis.com/envoy.config.listener.v3.Listener": {"lastError": error}}
        found["listener_acked"] = ""
    return found


def syncs(*entries):
    return {sync.proxy: sync for sync in parse_syncz(json.dumps(entries))}


@dataclass
class _Istiod:
    read: str = "7"
    now: dict = field(default_factory=dict)
    pods: tuple = ("one",)
    why_not: str = ""

    @property
    def there(self):
        return not self.why_not

    def versions(self, keys):
        return [dict.fromkeys(keys, self.read)] if self.read else [{}]

    def syncs(self, _namespace):
        return self.now


@dataclass
class _Client:
    pod: Pod


@dataclass
class _Fleet:
    clients: dict


def _pod(name):
    return Pod(name, "shop", name, {"app": "a"}, proxied=True, gateway=False, ready=True, restarts={})


def _dump(words):
    listener = {"name": "virtualInbound", "words": words}
    part = {
        "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
        "dynamic_listeners": [{"name": "virtualInbound", "active_state": {"listener": listener}}],
    }
    return parse_dump(json.dumps({"configs": [part]}))


NAMES = ("a-1", "a-2")
OLD = {name: _dump("old") for name in NAMES}
NEW = {name: _dump("new") for name in NAMES}


@pytest.fixture
def put():
    return parse_manifests(LOGS, "f.yaml", namespace="shop", embedded=False)


@pytest.fixture
def agree(put):
    """What is missing, by what istiod says; the push before had the number 5."""

    def ask(istiod, now, before=None):
        change = Change(State.of(put, {}), put, [], {put[0].key: "7"})
        was = Before(OLD, before or syncs(*map(entry, NAMES)))
        fleet = _Fleet({name: _Client(_pod(name)) for name in NAMES})
        return Agreement(fleet, istiod, change, was).missing(now, NAMES)

    return ask


def test_a_change_that_all_show_and_istiod_has_read_has_arrived(agree):
    istiod = _Istiod(now=syncs(*(entry(name, 6) for name in NAMES)))
    assert agree(istiod, NEW) == {}


def test_a_later_version_than_the_one_that_was_written_will_do(agree):
    """Istiod writes the status of some objects itself."""
    now = syncs(*(entry(name, 6) for name in NAMES))
    assert agree(_Istiod("12", now), NEW) == {}
    assert agree(_Istiod("6", now), NEW) == {"istiod": "has not read Telemetry shop/logs yet"}
    assert agree(_Istiod("", now), NEW) == {"istiod": "has not read Telemetry shop/logs yet"}


def test_a_proxy_without_a_trace_has_it_with_a_push_as_young_as_that_of_those_who_show_it(agree):
    half = {"a-1": NEW["a-1"], "a-2": OLD["a-2"]}
    assert agree(_Istiod(now=syncs(entry("a-1", 6), entry("a-2", 6))), half) == {}
    (missing,) = agree(_Istiod(now=syncs(entry("a-1", 6), entry("a-2", 5))), half).items()
    assert missing == ("a-2", "has acknowledged no push since Telemetry shop/logs changed")
    (missing,) = agree(_Istiod(now=syncs(entry("a-1", 6), entry("a-2", 5, cluster=6))), half).items()
    assert missing == ("a-2", "shows no trace of Telemetry shop/logs, and may not have had the push with it")


def test_what_is_sent_last_must_have_come_too(agree):
    istiod = _Istiod(now=syncs(entry("a-1", 6), entry("a-2", 5, cluster=6)))
    assert agree(istiod, NEW) == {"a-2": "has not been sent all that Telemetry shop/logs changes"}


def test_several_istiods_count_for_themselves(agree):
    half = {"a-1": NEW["a-1"], "a-2": OLD["a-2"]}
    istiod = _Istiod(now=syncs(entry("a-1", 6), entry("a-2", 6)), pods=("one", "two"))
    assert "may not have had the push" in agree(istiod, half)["a-2"]


def test_a_change_that_nobody_shows_needs_a_younger_push_and_time(agree, monkeypatch):
    istiod = _Istiod(now=syncs(*(entry(name, 6) for name in NAMES)))
    assert set(agree(istiod, OLD)) == set(NAMES)
    monkeypatch.setattr(agreement_module, "DEBOUNCE_MAX", 0.0)
    assert agree(istiod, OLD) == {}
    late = _Istiod(now=syncs(*map(entry, NAMES)))
    assert "acknowledged no push" in agree(late, OLD)["a-1"]


TIMEOUT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a], http: [{route: [{destination: {host: a}}], timeout: 1s}]}
"""


def test_a_route_that_istiod_may_give_to_nobody_is_not_waited_for_with_a_push(monkeypatch):
    """A VirtualService that a Sidecar resource hides: istiod pushes nothing to whom it does not concern."""
    put = parse_manifests(TIMEOUT, "f.yaml", namespace="shop", embedded=False)
    istiod = _Istiod(now=syncs(*map(entry, NAMES)))
    change = Change(State.of(put, {}), put, [], {put[0].key: "7"})
    fleet = _Fleet({name: _Client(_pod(name)) for name in NAMES})
    agreement = Agreement(fleet, istiod, change, Before(OLD, syncs(*map(entry, NAMES))))
    assert "shows no trace" in agreement.missing(OLD, NAMES)["a-1"]
    monkeypatch.setattr(agreement_module, "DEBOUNCE_MAX", 0.0)
    assert agreement.missing(OLD, NAMES) == {}


def test_what_a_proxy_refused_is_told_in_its_words(agree):
    istiod = _Istiod(now=syncs(entry("a-1", 6, error="no valid public key"), entry("a-2", 6)))
    with pytest.raises(ConfigRejectedError, match="a-1: Envoy refused the config: no valid public key"):
        agree(istiod, NEW)


def test_a_proxy_that_no_istiod_knows_or_that_is_behind_is_told(agree):
    behind = entry("a-2", 6)
    behind["listener_acked"] = f"2026-11-24T12:39:21Z/5{UUID}"
    assert agree(_Istiod(now=syncs(behind)), NEW) == {
        "a-1": "is not connected to any istiod that can be asked",
        "a-2": "has not acknowledged what it was sent",
    }


def test_without_istiod_only_what_shows_counts(agree):
    istiod = _Istiod(why_not="it is not asked here")
    assert agree(istiod, NEW) == {}
    assert agree(istiod, OLD)["a-1"] == (
        "Telemetry shop/logs changed, and this proxy's config did not (it is not asked here)"
    )
