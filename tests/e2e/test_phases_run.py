"""`meshtrial run` with phases, whole: a fault switched on and off under load on real Envoys, and what is left when the run dies in it."""

import json
import signal
import time

import pytest

from runner.report.html import write_report
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
"""

ABORT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bookinfo}
spec:
  hosts: ['*']
  gateways: [bookinfo-gateway]
  http:
  - fault: {abort: {percentage: {value: 100}, httpStatus: 503}}
    route: [{destination: {host: productpage, port: {number: 9080}}}]
"""

PHASES = """
experiment: outage
question: What does a slow details service cost while it is slow, and after?
variants:
  as-it-is: {}
phases:
  apply: [delay.yaml]
  before: 4s
  during: 4s
  after: 4s
  objective: "p95 < 290ms and error_rate < 1%"
load:
  locust: {file: load.py}
  arrivals: {rate: 30/s}
  warmup: 1s
blocks: 1
checks:
  as-it-is:
    - "requests == 360"
    - "p50@during >= 300ms"
    - "proxy[productpage-v1 fault.delays_injected]@before == 0"
    - "proxy[productpage-v1 fault.delays_injected]@during > 0"
    - "proxy[productpage-v1 fault.delays_injected]@after == 0"
    - "status[200]@during == 100%"
"""


def wait_for(condition, process=None, limit=150):
    deadline = time.monotonic() + limit
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def folder_of(shop, result):
    return RunFolder.open(shop.folder / result.stdout.strip().splitlines()[-1])


def state(shop):
    return shop.run("mesh", "get", "all", "-o", "json").stdout, shop.run("mesh", "status").stdout


def applied(shop, word):
    return word in shop.run("mesh", "get", "vs", "details", "-o", "yaml").stdout


def endless(shop):
    """The experiment with a fault that stays on."""
    text = PHASES.replace("during: 4s", "during: 240s").replace("requests == 360", "requests > 0")
    return shop.write("outage.yaml", text)


def test_a_fault_is_switched_on_and_off_under_load_with_proof(workshop):
    workshop.write("outage.yaml", PHASES)
    result = workshop.run("run", "outage.yaml", "--seed", "3")
    folder = folder_of(workshop, result)
    found = folder.document()
    assert result.returncode in {0, 5}, result.stderr
    assert {check.outcome for check in found.checks} <= {"held", "inconclusive"}
    variant = found.variants[0]
    trial = variant.trials[-1]
    assert trial.requests == 360
    on, off = trial.phases.on, trial.phases.off
    assert 4 <= on.begun <= on.requested < on.confirmed <= on.ended < 8 <= off.begun <= off.requested < off.confirmed
    before, during, after = trial.phases.parts
    assert (before.name, before.start, before.seconds, before.requests) == (
        "before",
        0,
        before.seconds,
        30 * before.seconds,
    )
    assert during.start >= 5
    assert after.start >= 9
    assert all(part.requests == 30 * part.seconds for part in trial.phases.parts)
    assert during.latency_ms.p50 >= 300
    held = [part.attestation.proxies["productpage-v1"] for part in trial.phases.parts]
    assert all(one.start == one.end for one in held)
    assert held[0] == held[2] != held[1]
    assert set(during.attestation.proxies) == set(found.mesh.proxies)
    assert not before.attestation.faults
    assert not after.attestation.faults
    assert 0 < sum(during.attestation.faults.values()) <= sum(trial.attestation.faults.values())
    assert "config_lost" not in trial.invalid_because
    assert [part.name for part in variant.phases.parts] == ["before", "during", "after"]
    assert (variant.phases.before_s, variant.phases.objective) == (4, "p95 < 290ms and error_rate < 1%")
    copied = folder.path / variant.phases.manifests[0].file
    assert copied.read_text() == (workshop.folder / "delay.yaml").read_text()
    kept = folder.trial(trial.file)
    assert kept.switches.on == on
    assert found.headline.startswith("as-it-is: p95 ")
    assert found.restored == "the mesh holds what it held before, verified on 8 proxies"
    page = write_report(folder).read_text()
    assert '<h2 id="phases-title">Phases</h2>' in page
    assert "delay.yaml (switched on under load)" in page


def test_a_phase_that_nobody_meets_is_no_evidence(workshop):
    fault = "- fault: {delay: {percentage: {value: 100}, fixedDelay: 300ms}}"
    matched = "- match: [{headers: {x-nobody: {exact: sends}}}]\n    " + fault.removeprefix("- ")
    text = (workshop.folder / "delay.yaml").read_text().replace(fault, matched)
    workshop.write("delay.yaml", text + "  - route: [{destination: {host: details}}]\n")
    workshop.write("outage.yaml", PHASES.partition("checks:")[0] + "checks: {as-it-is: ['error_rate@during < 50%']}\n")
    result = workshop.run("run", "outage.yaml")
    assert result.returncode == 5, result.stderr
    trial = folder_of(workshop, result).document().variants[0].trials[-1]
    assert "fault_not_fired" in trial.invalid_because
    assert any(note.detail.endswith("did not move (during)") for note in trial.notes)


def test_a_phase_that_switches_nothing_is_refused(workshop):
    text = PHASES.replace("  as-it-is: {}", "  as-it-is: {apply: [delay.yaml]}")
    workshop.write("outage.yaml", text)
    result = workshop.run("validate", "outage.yaml")
    assert result.returncode == 2
    assert "outage.yaml:7:10: the phases of as-it-is would switch nothing" in result.stderr


def test_a_phase_that_the_mesh_can_not_hold_is_refused_before_anything_starts(workshop):
    workshop.write("delay.yaml", (workshop.folder / "delay.yaml").read_text().replace("host: details", "host: detail"))
    workshop.write("outage.yaml", PHASES)
    for command in ("validate", "plan", "run"):
        result = workshop.run(command, "outage.yaml")
        assert (result.returncode, "delay.yaml:" in result.stderr or "delay.yaml:" in result.stdout) == (2, True), (
            result
        )
    assert not (workshop.folder / "results").exists()


def test_the_plan_tells_the_phases(workshop):
    workshop.write("outage.yaml", PHASES)
    said = workshop.run("plan", "outage.yaml", "--quick").stdout
    assert "phases: 4 s before, 4 s with delay.yaml, 4 s after" in said
    assert "must fire during: delay fault of details" in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_a_phase_restores_what_the_user_had(workshop, number, code):
    workshop.run("mesh", "up")
    assert workshop.run("mesh", "apply", "-f", workshop.write("mine.yaml", MINE)).returncode == 0
    before = state(workshop)
    process = workshop.start("run", endless(workshop))
    wait_for(lambda: applied(workshop, "fixedDelay"), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=90)
    assert process.returncode == code
    assert "the mesh holds what it held before, verified on 8 proxies" in err
    assert "Traceback" not in err
    assert state(workshop) == before
    assert RunFolder.open(workshop.folder / out.strip()).document().verdict == "aborted"


def test_killed_in_the_middle_of_a_phase_the_mesh_comes_back(workshop):
    workshop.run("mesh", "up")
    before = state(workshop)
    process = workshop.start("run", endless(workshop))
    wait_for(lambda: applied(workshop, "fixedDelay"), process)
    process.kill()
    process.communicate()
    assert applied(workshop, "fixedDelay")
    result = workshop.run("recover", "--mesh", "local")
    assert "removed VirtualService default/details" in result.stdout
    assert state(workshop) == before
    assert "nothing to restore" in workshop.run("recover").stdout


def test_a_guardrail_in_the_middle_of_a_phase_stops_and_restores(workshop):
    workshop.run("mesh", "up")
    before = state(workshop)
    workshop.write("delay.yaml", ABORT)
    path = endless(workshop)
    path.write_text(path.read_text().replace("blocks: 1", "blocks: 1\nstop_if: ['error_rate > 50% for 2s']"))
    result = workshop.run("run", path)
    assert result.returncode == 4, result.stderr
    found = folder_of(workshop, result).document()
    assert found.guardrail.observed == "error_rate was 100 %"
    trial = found.variants[0].trials[0]
    assert trial.phases.off is None
    assert [part.name for part in trial.phases.parts] == ["before", "during"]
    assert state(workshop) == before
    write_report(folder_of(workshop, result))


def test_a_closed_loop_has_phases_too(workshop):
    text = PHASES.replace("arrivals: {rate: 30/s}", "users: 2").replace('    - "requests == 360"\n', "")
    workshop.write("outage.yaml", text)
    result = workshop.run("run", "outage.yaml")
    trial = folder_of(workshop, result).document().variants[0].trials[-1]
    assert [part.name for part in trial.phases.parts] == ["before", "during", "after"]
    assert trial.phases.parts[1].latency_ms.p50 >= 300
    assert trial.phases.parts[0].requests > trial.phases.parts[1].requests


def test_fortio_has_phases_with_its_access_log(workshop, fortio):
    load = f"fortio: {{binary: {fortio}, path: /productpage, connections: 2, qps: 20}}"
    workshop.write("outage.yaml", PHASES.replace("locust: {file: load.py}\n  arrivals: {rate: 30/s}", load))
    result = workshop.run("run", "outage.yaml")
    trial = folder_of(workshop, result).document().variants[0].trials[-1]
    assert [part.name for part in trial.phases.parts] == ["before", "during", "after"]
    assert trial.phases.parts[1].latency_ms.p50 >= 300
    assert json.loads((folder_of(workshop, result).path / "run.json").read_text())["variants"][0]["closed_loop"]
