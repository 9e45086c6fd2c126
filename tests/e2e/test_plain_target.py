"""A plain URL under load, whole: nothing applied, the same verdicts, and no claim that a mesh would be needed for."""

import pytest

from runner.results.store import RunFolder

PLAIN = """
experiment: two-ports
question: Is the second port as fast as the first?
mesh: {none: {url: "URL"}}
variants:
  first: {}
  second: {url: "OTHER"}
  busier: {load: {arrivals: {rate: 80/s}}}
load:
  locust: {file: page.py}
  host: shop.example.org
  arrivals: {rate: 40/s}
  warmup: 0s
  duration: 1s
blocks: 1
collect: {promql: {up: up}}
stop_if: ["error_rate > 50% for 30s"]
checks:
  first: ["requests == 40", "status[200] == 40"]
  second: ["requests == 40", "proxy[shop upstream_rq_total] == 40", "promql[up] == 1"]
  busier: ["requests == 80"]
"""
LOAD = """
from locust import FastHttpUser, task

class Visitor(FastHttpUser):
    @task
    def page(self):
        self.client.get("/page")
"""


@pytest.fixture
def shop(workshop, servers):
    workshop.write("page.py", LOAD)
    text = PLAIN.replace('"URL"', f'"{servers[0].url}/"').replace('"OTHER"', f'"{servers[1].url}"')
    workshop.write("plain.yaml", text)
    return workshop


def document(shop, result):
    return RunFolder.open(shop.folder / result.stdout.strip().splitlines()[-1]).document()


def test_variants_differ_in_load_or_url_and_nothing_is_made_up(shop, servers):
    result = shop.run("run", "plain.yaml")
    assert result.returncode == 5, result.stderr
    found = document(shop, result)
    assert (found.mesh.kind, found.mesh.proxies, found.mesh.url) == ("none", [], f"{servers[0].url}/")
    assert found.restored == "nothing was applied, so there was nothing to restore"
    assert "envoy" not in found.versions
    first, second, busier = found.variants
    assert first.load == f"40/s uniform arrivals at {servers[0].url}/"
    assert second.load == f"40/s uniform arrivals at {servers[1].url}"
    assert {(path, host) for path, host in servers[1].seen} == {("/page", "shop.example.org")}
    assert (first.requests, second.requests, busier.requests) == (40, 40, 80)
    for variant in found.variants:
        assert variant.proxy == {}
        assert variant.edges == []
        for trial in variant.trials:
            assert trial.attestation.proxies == trial.attestation.faults == {}
    checks = {check.check: check for check in found.checks}
    counter = checks["second: proxy[shop upstream_rq_total] == 40"]
    assert (counter.outcome, "a plain URL has no proxies" in counter.reason) == ("inconclusive", True)
    query = checks["second: promql[up] == 1"]
    assert (query.outcome, "a plain URL has no Prometheus" in query.reason) == ("inconclusive", True)
    assert [check.outcome for name, check in checks.items() if "proxy" not in name and "promql" not in name] == (
        ["held"] * 4
    )
    # no journal was needed, and nothing was left
    assert not list((shop.folder.parent / "state" / "meshtrial").glob("*/*"))
    report = (shop.folder / result.stdout.strip() / "report.html").read_text()
    for absent in ('id="proxies"', 'id="manifests"', 'id="edges"', "Attestation"):
        assert absent not in report
    assert "no mesh: a plain URL under load" in report


def test_checks_on_what_the_generator_sees_pass(shop):
    text = (shop.folder / "plain.yaml").read_text()
    text = text.replace(', "proxy[shop upstream_rq_total] == 40", "promql[up] == 1"', "")
    text = text.replace("collect: {promql: {up: up}}\n", "")
    shop.write("plain.yaml", text)
    result = shop.run("run", "plain.yaml")
    found = document(shop, result)
    assert (result.returncode, found.verdict) == (0, "pass"), result.stderr
    assert found.absent == []


def test_a_target_that_refuses_is_inconclusive_and_says_why(shop, servers):
    servers[1].close()
    result = shop.run("run", "plain.yaml", "--only", "second")
    assert result.returncode == 5
    found = document(shop, result)
    (variant,) = found.variants
    assert [(trial.valid, trial.superseded) for trial in variant.trials] == [(False, True), (False, False)]
    assert all(trial.invalid_because == ["unreachable"] for trial in variant.trials)
    assert {check.outcome for check in found.checks} == {"inconclusive"}
    assert "none of the 1 trial of second is valid (unreachable)" in found.reason
    report = (shop.folder / result.stdout.strip() / "report.html").read_text()
    assert "none of 40 requests got a response: ConnectionRefusedError" in report
    assert "unreachable" in result.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first: {}": "first: {apply: [delay.yaml]}"}, "a mesh of kind none applies nothing"),
        ({"error_rate > 50% for 30s": "proxy[shop upstream_rq_timeout] > 3"}, "nothing could watch"),
        ({"/page.py": "", "host: shop.example.org": "from: client"}, "no workload that load could leave from"),
        ({'url: "http://127.0.0.1': 'url: "ftp://127.0.0.1'}, "is not a URL"),
    ],
)
def test_what_a_plain_url_can_not_do_is_bad_input(shop, change, said):
    text = (shop.folder / "plain.yaml").read_text()
    for old, new in change.items():
        text = text.replace(old, new)
    shop.write("plain.yaml", text)
    result = shop.run("run", "plain.yaml")
    assert result.returncode == 2
    assert said in result.stderr
    assert not (shop.folder / "results").exists()


def test_validate_and_plan_speak_of_it(shop, servers):
    result = shop.run("validate", "plain.yaml")
    assert result.returncode == 0
    assert "has no proxies, so `second: proxy[shop upstream_rq_total] == 40` will be inconclusive" in result.stderr
    planned = shop.run("plan", "plain.yaml").stdout
    assert f"busier: 80/s uniform arrivals at {servers[0].url}/" in planned
