"""`meshtrial run` where a refusal without an answer is what is asked for, and where nobody is there to refuse."""

import shutil

import pytest

from runner.results.store import RunFolder

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""

EXPERIMENT = """
experiment: plain-text
question: Does a client without a sidecar get through?
mesh: {app: httpbin-legacy}
variants:
  permissive: {}
  strict: {apply: [strict.yaml]}
load:
  locust: {file: httpbin.py}
  from: sleep.legacy
  host: httpbin.default:8000
  users: 1
  warmup: 0s
  duration: 3s
blocks: 1
checks:
  permissive: ["outcome[plain text] > 0%", "errors == 0"]
  strict: ["status[0] == requests", 'requests == proxy[httpbin /^listener.*no_filter_chain_match$/]']
"""


@pytest.mark.timeout(180)
def test_refused_connections_are_evidence_and_all_is_put_back(workshop, repository):
    shutil.copy(repository / "loadfiles" / "httpbin.py", workshop.folder)
    workshop.write("strict.yaml", STRICT)
    workshop.write("plain-text.yaml", EXPERIMENT)
    result = workshop.run("run", "plain-text.yaml")
    assert result.returncode == 0, result.stderr + result.stdout
    assert "the mesh holds what it held before" in result.stderr
    found = RunFolder.open(workshop.folder / result.stdout.strip().splitlines()[-1]).document()
    permissive, strict = found.variants
    assert permissive.outcomes == {"plain text": permissive.requests}
    assert strict.status == {"0": strict.requests}
    assert strict.requests > 0
    (trial,) = strict.trials
    assert trial.valid
    assert any("They did arrive: refused were" in remark for remark in trial.remarks)


@pytest.mark.timeout(180)
def test_pods_without_a_sidecar_are_shown_and_have_no_stats(workshop):
    assert workshop.run("mesh", "up", "--app", "httpbin-legacy").returncode == 0
    status = workshop.run("mesh", "status").stdout.splitlines()
    (line,) = [line for line in status if line.startswith("sleep.legacy ")]
    assert line.endswith("no sidecar")
    stats = workshop.run("mesh", "stats", "sleep.legacy")
    assert stats.returncode == 2
    assert "sleep.legacy has no sidecar, and so no stats" in stats.stderr
    workshop.write("strict.yaml", STRICT)
    assert "peerauthentication/default created" in workshop.run("mesh", "apply", "-f", "strict.yaml").stdout
    assert "mode: STRICT" in workshop.run("mesh", "get", "pa", "-o", "yaml").stdout
    assert workshop.run("mesh", "down").returncode == 0
