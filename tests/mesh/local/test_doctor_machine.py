"""What a machine's facts mean for the embedded mesh, and that this machine's facts can be read."""

from dataclasses import replace

import pytest

from runner.mesh.finding import Status
from runner.mesh.local.doctor import INOTIFY_PER_ENVOY, MachineFacts, MeshUp, check_generator, check_machine
from runner.mesh.local.machine import read_machine

GOOD = MachineFacts(
    system="Linux",
    machine="x86_64",
    glibc=(2, 36),
    envoy="/opt/envoy",
    envoy_says="Envoy 1.40.0",
    envoy_runs=True,
    loopback="",
    inotify_limit=1024,
    inotify_used=10,
    files=(65536, 65536),
    ports=(32768, 60999),
    cores=4.0,
    load=0.2,
    memory=8 * 2**30,
    state="/home/me/.local/state/meshtrial",
    state_error="",
    disk=20 * 2**30,
)
PROXIES = 8


def finding(check, **changes):
    found = [item for item in check_machine(replace(GOOD, **changes), PROXIES) if item.check == check]
    assert len(found) == 1
    return found[0]


def test_a_good_machine_has_nothing_to_fix():
    assert {item.status for item in check_machine(GOOD, PROXIES)} == {Status.OK}
    assert not any(item.fix for item in check_machine(GOOD, PROXIES))


@pytest.mark.parametrize(
    ("check", "changes", "status", "words"),
    [
        ("platform", {"system": "Darwin"}, Status.PROBLEM, "needs Linux"),
        ("platform", {"machine": "riscv64"}, Status.PROBLEM, "no Envoy for it"),
        ("platform", {"glibc": None}, Status.PROBLEM, "not glibc"),
        ("platform", {"glibc": (2, 28)}, Status.PROBLEM, "Envoy needs 2.31"),
        ("Envoy", {"envoy": None, "envoy_says": "there is none"}, Status.PROBLEM, "there is none"),
        ("Envoy", {"envoy_runs": False, "envoy_says": "Permission denied"}, Status.PROBLEM, "Permission denied"),
        ("loopback addresses", {"loopback": "Cannot assign"}, Status.PROBLEM, "127.64.0.1"),
        ("inotify instances", {"inotify_limit": 128, "inotify_used": 100}, Status.PROBLEM, "128 for this user, 100"),
        ("inotify instances", {"inotify_limit": 128, "inotify_used": 70}, Status.WARNING, "no second one"),
        ("inotify instances", {"inotify_limit": None}, Status.SKIPPED, "can't be read"),
        ("open files", {"files": (1024, 1024)}, Status.PROBLEM, "at most 1024"),
        ("open files", {"files": (1024, 524288)}, Status.WARNING, "1024"),
        ("open files", {"files": None}, Status.SKIPPED, "can't be read"),
        ("local ports", {"ports": (10000, 60999)}, Status.WARNING, "proxies' own ports"),
        ("local ports", {"ports": (60000, 60999)}, Status.WARNING, "1000 in all"),
        ("local ports", {"ports": None}, Status.SKIPPED, "can't be read"),
        ("cores", {"cores": 1.0}, Status.WARNING, "1 core,"),
        ("cores", {"load": 3.5}, Status.WARNING, "load average 3.5"),
        ("memory", {"memory": 100 * 2**20}, Status.PROBLEM, "100 MiB free"),
        ("state folder", {"state_error": "Read-only file system"}, Status.PROBLEM, "Read-only"),
        ("state folder", {"disk": 2**20}, Status.WARNING, "1 MiB left"),
    ],
)
def test_each_lack_is_named_with_its_fix(check, changes, status, words):
    found = finding(check, **changes)
    assert found.status is status
    assert words in found.found
    assert bool(found.fix) == (status is not Status.SKIPPED)


def test_inotify_needs_grow_with_the_proxies():
    just_enough = replace(GOOD, inotify_limit=60 * INOTIFY_PER_ENVOY, inotify_used=0)
    by_proxies = {
        proxies: next(item.status for item in check_machine(just_enough, proxies) if item.check == "inotify instances")
        for proxies in (8, 60, 61)
    }
    assert by_proxies == {8: Status.OK, 60: Status.WARNING, 61: Status.PROBLEM}


def test_a_mesh_that_lost_a_proxy_is_a_problem_and_one_in_use_a_warning():
    well = MeshUp("bookinfo-1", "bookinfo", 8)
    hurt = replace(well, name="bookinfo-2", deaths=("reviews-v1 proxy ended with signal SIGKILL",))
    busy = replace(well, name="bookinfo-3", standing=False)
    found = [item for item in check_machine(replace(GOOD, meshes=(well, hurt, busy)), 8) if item.check == "meshes up"]
    assert [item.status for item in found] == [Status.OK, Status.PROBLEM, Status.WARNING]
    assert "SIGKILL" in found[1].found
    assert "mesh down" in found[1].fix


def test_a_cluster_run_needs_only_the_generators_part():
    weak = replace(GOOD, system="Darwin", envoy=None, glibc=None, inotify_limit=None, loopback="no")
    assert {item.status for item in check_generator(weak)} == {Status.OK}


def test_this_machines_facts_can_be_read(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    facts = read_machine()
    assert facts.envoy_runs
    assert facts.envoy_says.startswith("Envoy 1.")
    assert facts.loopback == ""
    assert facts.inotify_limit > 0
    assert facts.cores > 0
    assert facts.memory > 0
    assert facts.state == str(tmp_path / "meshtrial")
    assert facts.state_error == ""
    assert facts.meshes == ()


def test_an_envoy_that_is_none_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("MESHTRIAL_ENVOY", str(tmp_path / "no-envoy"))
    facts = read_machine()
    assert not facts.envoy_runs
    assert facts.envoy_says == "No such file or directory"


def test_a_state_folder_that_can_not_be_made_is_told(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert read_machine().state_error == "Not a directory"
