"""Waiting for connections of before a change, by what proxies count; real sidecars are in tests/cluster/test_open_connections.py."""

import json
from dataclasses import dataclass, field, replace

import pytest

from runner.errors import MeshError
from runner.mesh.cluster import drains as drains_module
from runner.mesh.cluster.drains import Drains
from runner.mesh.cluster.dump import Dump
from runner.mesh.cluster.looks import Look, Mark
from runner.mesh.cluster.pods import Pod

REST = Mark((1, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0, 0), (0, 0, 0), 0, 5, 3)
REPLACED = replace(REST, replaced=(0, 0, 1), draining=7)
_NAMES = (
    *(f"cluster_manager.{name}" for name in ("cluster_added", "cluster_modified", "cluster_removed")),
    *("cluster_manager.cds.update_rejected", "cluster_manager.warming_clusters"),
)


def _text(mark):
    values = dict(zip(_NAMES, mark.clusters, strict=True))
    names = ("added", "modified", "removed", "in_place_updated", "create_failure")
    values |= {f"listener_manager.listener_{name}": 0 for name in names}
    modified, removed, in_place = mark.replaced
    values |= {
        "listener_manager.listener_modified": modified,
        "listener_manager.listener_removed": removed,
        "listener_manager.listener_in_place_updated": in_place,
        "listener_manager.lds.update_rejected": 0,
        "listener_manager.total_listeners_warming": 0,
        "listener_manager.total_listeners_draining": 0,
        "listener_manager.total_filter_chains_draining": mark.draining,
        "server.uptime": mark.uptime,
        "server.total_connections": mark.connections,
    }
    return "\n".join(f"{name}: {value}" for name, value in values.items())


@dataclass
class _Client:
    """A proxy that shows one mark after the other, and stays with the last."""

    marks: list
    drain_time: str = "45s"
    asked: int = 0
    pod: Pod = field(
        default_factory=lambda: Pod("a", "shop", "a", {}, proxied=True, gateway=False, ready=True, restarts={})
    )

    def get(self, path):
        if path == "/server_info":
            return json.dumps({"command_line_options": {"drain_time": self.drain_time}})
        mark = self.marks[min(self.asked, len(self.marks) - 1)]
        self.asked += 1
        if mark is None:
            raise MeshError("it is silent")
        return _text(mark) if isinstance(mark, Mark) else mark


class _Fleet:
    def __init__(self, client):
        self.clients, self.silent = {"a": client}, {}

    def each(self, ask, names=None):
        found = {}
        for name in names or self.clients:
            try:
                found[name] = ask(self.clients[name])
            except MeshError as error:
                self.silent[name] = str(error)
        return found


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(drains_module, "_POLL", 0.001)
    monkeypatch.setattr(drains_module, "_SLACK", 0.02)


def _drains(*marks, drain_time="45s", living=("a",)):
    return Drains(_Fleet(_Client(list(marks), drain_time)), lambda: set(living))


def _look(mark, **listeners):
    return {"a": Look(Dump(listeners=listeners), mark)}


def _asked(drains):
    return drains.fleet.clients["a"].asked


def test_nothing_is_asked_where_no_listener_was_replaced():
    drains = _drains(REPLACED)
    drains.note(_look(REST), _look(replace(REST, listeners=(2, 0, 0, 0, 0, 0, 0))))
    drains.note({}, _look(REST))
    drains.settle()
    assert _asked(drains) == 0


def test_it_ends_with_the_draining():
    drains = _drains(*[REPLACED] * 5, REST)
    drains.note(_look(REST), _look(REPLACED))
    drains.settle()
    assert _asked(drains) == 6
    drains.settle()
    assert _asked(drains) == 6


def test_what_drains_when_a_proxy_is_seen_first_counts_too():
    drains = _drains(REPLACED, REST)
    drains.note({}, _look(REPLACED))
    drains.settle()
    assert _asked(drains) == 2


def test_without_any_connection_there_is_nothing_to_wait_for():
    """The number of connections is brought up to date every few seconds: only a number of after the change counts."""
    old = replace(REPLACED, connections=0)
    drains = _drains(old, old, old, replace(old, uptime=10))
    drains.note(_look(REST), _look(REPLACED))
    drains.settle()
    assert _asked(drains) == 4


def test_on_a_busy_cluster_the_drain_time_is_enough():
    busy = [replace(REPLACED, replaced=(0, 0, number)) for number in range(1, 1000)]
    drains = _drains(*busy, drain_time="0s")
    drains.note(_look(REST), _look(REPLACED))
    drains.settle()
    assert 1 < _asked(drains) < 999


def test_what_does_not_end_is_told():
    drains = _drains(REPLACED, drain_time="0s")
    drains.note(_look(REST), _look(REPLACED))
    with pytest.raises(MeshError, match=r"a: 7 listeners or filter chains of before the change still drain after"):
        drains.settle()


def test_a_long_drain_time_is_refused_with_the_way_to_shorten_it():
    drains = _drains(REPLACED, drain_time="600s")
    drains.note(_look(REST), _look(REPLACED))
    with pytest.raises(MeshError, match=r"served by the earlier rules for up to 600 s") as error:
        drains.settle()
    assert "drainDuration" in error.value.advice


def test_a_proxy_without_counters_is_given_its_drain_time():
    drains = _drains("", drain_time="0s")
    drains.note(_look(None, a={}), _look(None, a={"changed": 1}))
    drains.settle()
    assert _asked(drains) > 1
    asked = _asked(drains)
    drains.note(_look(None, a={}), _look(None, a={}))
    drains.settle()
    assert _asked(drains) == asked


def test_a_pod_that_is_gone_has_no_connections_and_one_that_is_silent_may():
    drains = _drains(None, living=())
    drains.note(_look(REST), _look(REPLACED))
    drains.settle()
    drains = _drains(None, drain_time="0s")
    drains._limits["a"] = 0.0
    drains.note(_look(REST), _look(REPLACED))
    with pytest.raises(MeshError, match=r"a: no answer \(it is silent\), so it may still serve by earlier rules"):
        drains.settle()


def test_the_wait_is_told_before_a_run():
    drains = _drains(REST)
    assert drains.cost(["VirtualService", "DestinationRule"]) == []
    (told,) = drains.cost(["VirtualService", "AuthorizationPolicy", "PeerAuthentication"])
    assert told.startswith(
        "after a change of AuthorizationPolicy and PeerAuthentication, connections that were open before"
    )
    assert "for up to 45 s" in told
    assert "drainDuration: 5s" in told
    assert _drains(REST, drain_time="5s").cost(["AuthorizationPolicy"]) == []
