"""`meshtrial run`, whole: verdicts, exit codes, what is left behind, and what is put back."""

import json
import os
import signal
import subprocess
import time

import pytest

from runner.conduct.run import EXIT_CODES
from runner.results.store import RunFolder

MINE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details}
spec:
  hosts: [details]
  http:
  - headers: {response: {add: {x-mine: "yes"}}}
    route: [{destination: {host: details}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: details}
spec:
  host: details
  subsets: [{name: v1, labels: {version: v1}}]
"""

LONG = {"duration: 2s": "duration: 30s", "requests == 80": "requests > 0"}


def wait_for(condition, process=None, limit=60):
    deadline = time.monotonic() + limit
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def document(shop, result):
    return RunFolder.open(shop.folder / result.stdout.strip().splitlines()[-1]).document()


def state(shop):
    return shop.run("mesh", "get", "all", "-o", "json").stdout, shop.run("mesh", "status").stdout


def applied(shop, word):
    return word in shop.run("mesh", "get", "vs", "details", "-o", "yaml").stdout


def long_experiment(shop):
    text = (shop.folder / "slow.yaml").read_text()
    for old, new in LONG.items():
        text = text.replace(old, new)
    # the baseline is left out, so that the first trial is the one with the fault
    return shop.write(
        "long.yaml", text.replace("  as-it-is: {}\n", "").split("  as-it-is: [")[0] + "  slow-details: []\n"
    )


def test_a_run_passes_with_proof_and_leaves_a_whole_folder(workshop):
    result = workshop.run("run", "slow.yaml", "--seed", "7")
    assert result.returncode == 0, result.stderr
    found = document(workshop, result)
    folder = workshop.folder / result.stdout.strip().splitlines()[-1]
    assert (found.verdict, found.seed, found.restored) == (
        "pass",
        7,
        "the mesh holds what it held before, verified on 8 proxies",
    )
    slow = found.variants[1]
    assert slow.requests == 80
    assert slow.status == {"200": 80}
    trial = slow.trials[0]
    assert sum(trial.attestation.faults.values()) == 80
    assert set(trial.attestation.proxies) == set(found.mesh.proxies)
    assert all(held.start == held.end for held in trial.attestation.proxies.values())
    report = (folder / "report.html").read_text()
    assert "Does a slow details service slow the page?" in report
    assert (folder / slow.manifests[0].file).read_text() == (workshop.folder / "delay.yaml").read_text()
    edge = next(e for e in slow.edges if e.source == "productpage-v1" and e.destination == "details-v1")
    assert edge.requests == 80
    assert not list((workshop.folder.parent / "state" / "meshtrial").glob("*/*"))
    assert len(workshop.run("list").stdout.splitlines()) == 1
    assert workshop.run("report", folder).returncode == 0


def test_a_failed_check_is_exit_code_1(workshop):
    text = (workshop.folder / "slow.yaml").read_text().replace("p50 >= 300ms", "p50 < 300ms")
    workshop.write("slow.yaml", text)
    result = workshop.run("run", "slow.yaml", "--only", "slow-details")
    assert result.returncode == EXIT_CODES["fail"] == 1
    assert [check.outcome for check in document(workshop, result).checks] == ["held", "failed", "held"]


def test_no_checks_or_too_few_blocks_are_inconclusive(workshop):
    text = (workshop.folder / "slow.yaml").read_text().split("checks:")[0]
    workshop.write("slow.yaml", text.replace("40/s", "60/s") + "checks:\n  slow-details vs as-it-is: ['p50 >= +40%']\n")
    result = workshop.run("run", "slow.yaml")
    assert result.returncode == 5
    assert "at least 6 blocks" in document(workshop, result).checks[0].reason


def test_a_fault_that_never_fires_is_invalid_and_never_a_pass(workshop):
    # only requests with a header that nobody sends are delayed
    fault = "- fault: {delay: {percentage: {value: 100}, fixedDelay: 300ms}}"
    matched = "- match: [{headers: {x-nobody: {exact: sends}}}]\n    " + fault.removeprefix("- ")
    text = (workshop.folder / "delay.yaml").read_text().replace(fault, matched)
    workshop.write("delay.yaml", text + "  - route: [{destination: {host: details}}]\n")
    text = (workshop.folder / "slow.yaml").read_text().replace("p50 >= 300ms", "error_rate < 50%")
    workshop.write("slow.yaml", text)
    result = workshop.run("run", "slow.yaml", "--only", "slow-details")
    assert result.returncode == 5
    found = document(workshop, result)
    trials = found.variants[0].trials
    assert [(trial.attempt, trial.superseded) for trial in trials] == [(1, True), (2, False)]
    assert all("fault_not_fired" in trial.invalid_because for trial in trials)  # a busy machine may add `lag`
    assert {check.outcome for check in found.checks} == {"inconclusive"}


def test_a_guardrail_stops_the_load_and_restores(workshop):
    abort = (
        (workshop.folder / "delay.yaml")
        .read_text()
        .replace(
            "delay: {percentage: {value: 100}, fixedDelay: 300ms}", "abort: {percentage: {value: 100}, httpStatus: 503}"
        )
        .replace("details", "productpage")
    )
    workshop.write(
        "delay.yaml",
        abort.replace("hosts: [productpage]", "hosts: ['*']\n  gateways: [bookinfo-gateway]").replace(
            "{name: productpage}", "{name: bookinfo}"
        ),
    )
    path = long_experiment(workshop)
    path.write_text(path.read_text().replace("blocks: 1", "blocks: 1\nstop_if: ['error_rate > 50% for 2s']"))
    assert workshop.run("mesh", "up").returncode == 0
    before = state(workshop)
    result = workshop.run("run", path)
    assert result.returncode == 4, result.stderr
    found = document(workshop, result)
    assert found.verdict == "aborted"
    assert found.guardrail.rule == "error_rate > 50% for 2s"
    assert found.guardrail.observed == "error_rate was 100 %"
    assert found.variants[0].trials[0].requests < 40 * 30
    assert state(workshop) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_restores_what_the_user_had(workshop, number, code):
    workshop.run("mesh", "up")
    assert workshop.run("mesh", "apply", "-f", workshop.write("mine.yaml", MINE)).returncode == 0
    before = state(workshop)
    process = workshop.start("run", long_experiment(workshop))
    wait_for(lambda: applied(workshop, "fixedDelay"), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the mesh holds what it held before, verified on 8 proxies" in err
    assert "Traceback" not in err
    assert state(workshop) == before
    assert RunFolder.open(workshop.folder / out.strip()).document().verdict == "aborted"


@pytest.mark.parametrize("way", ["recover", "run"])
def test_what_a_killed_run_left_is_restored_by_the_next(workshop, way):
    workshop.run("mesh", "up")
    workshop.run("mesh", "apply", "-f", workshop.write("mine.yaml", MINE))
    before = state(workshop)
    process = workshop.start("run", long_experiment(workshop))
    wait_for(lambda: applied(workshop, "fixedDelay"), process)
    process.kill()
    process.communicate()
    assert applied(workshop, "fixedDelay")
    if way == "recover":
        result = workshop.run("recover", "--mesh", "local")
        assert "put back VirtualService default/details" in result.stdout
    else:
        result = workshop.run("run", "slow.yaml", "--duration", "1s", "--only", "as-it-is")
        assert "restored what a dead run had left" in result.stderr
    assert state(workshop) == before
    assert "nothing to restore" in workshop.run("recover").stdout


def test_killed_in_the_middle_of_a_restore_or_an_apply_is_no_different(workshop):
    """Kill the run at many moments, also between two file writes; the mesh comes back every time."""
    workshop.run("mesh", "up")
    workshop.run("mesh", "apply", "-f", workshop.write("mine.yaml", MINE))
    before = state(workshop)
    text = (workshop.folder / "slow.yaml").read_text().replace("duration: 2s", "duration: 100ms")
    workshop.write("slow.yaml", text.replace("blocks: 1", "blocks: 50"))
    for delay in (0.0, 0.11, 0.23, 0.37):
        process = workshop.start("run", "slow.yaml")
        assert process.stderr.readline().startswith("joined the mesh")
        wait_for(lambda: list((workshop.folder / "results").glob("*/*/trials/*")), process)
        time.sleep(delay)
        process.kill()
        process.communicate()
        assert workshop.run("recover").returncode == 0
        assert state(workshop) == before


def test_a_proxy_that_dies_midway_is_named_and_what_was_measured_is_kept(workshop):
    workshop.run("mesh", "up")
    status = workshop.run("mesh", "status").stdout
    folder = next((workshop.folder.parent / "state" / "meshtrial" / "meshes").iterdir())
    process = workshop.start("run", long_experiment(workshop))
    wait_for(lambda: applied(workshop, "fixedDelay"), process)
    pods = json.loads((folder / "mesh.json").read_text())["topology"]["pods"]
    position = [pod["name"] for pod in pods].index("details-v1")
    assert "details-v1" in status
    listed = json.loads((folder / "processes.json").read_text())
    line = [item["name"] for item in listed].index("details-v1 proxy")
    assert position
    os.kill(int((folder / "pids").read_text().splitlines()[line].split()[0]), signal.SIGKILL)
    wait_for(lambda: "died: details-v1 proxy" in workshop.run("mesh", "status").stdout, process)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 3, err
    assert "details-v1 proxy ended with signal SIGKILL" in err
    assert "Traceback" not in err
    found = RunFolder.open(workshop.folder / out.strip()).document()
    assert found.verdict == "error"
    assert "proxy_died" in found.variants[0].trials[0].invalid_because


def test_a_second_run_does_not_touch_a_mesh_in_use(workshop):
    workshop.run("mesh", "up")
    process = workshop.start("run", long_experiment(workshop))
    wait_for(lambda: applied(workshop, "fixedDelay"), process)
    second = workshop.run("run", "slow.yaml")
    assert second.returncode == 3
    assert "in use by meshtrial run slow-details" in second.stderr
    assert "--fresh" in second.stderr
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_full_disk_is_told_and_everything_restored(workshop):
    if os.geteuid():
        pytest.skip("only root may mount a small file system to fill")
    small = workshop.folder / "small"
    small.mkdir()
    mounted = subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", small], check=False)
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        workshop.run("mesh", "up")
        before = state(workshop)
        result = workshop.run("run", "slow.yaml", "--blocks", "3", "--results", small)
        assert result.returncode == 3, result.stderr
        assert "the disk is full" in result.stderr
        assert state(workshop) == before
        assert "nothing to restore" in workshop.run("recover").stdout
    finally:
        subprocess.run(["/usr/bin/umount", small], check=True)


def test_secrets_reach_the_service_and_no_file(workshop):
    text = (workshop.folder / "slow.yaml").read_text()
    text = "env: [TOKEN]\n" + text.replace(
        "  arrivals", "  headers: {authorization: 'Bearer {{ env.TOKEN }}'}\n  arrivals"
    )
    workshop.write("slow.yaml", text)
    workshop.environment["TOKEN"] = "hunter2-very-secret"  # noqa: S105 - the secret of this test
    result = workshop.run("run", "slow.yaml", "--only", "as-it-is")
    assert result.returncode == 0, result.stderr
    for path in (workshop.folder / "results").rglob("*"):
        if path.is_file():
            assert b"hunter2" not in path.read_bytes(), path
