"""`meshtrial run` with AuthorizationPolicies: refusals are proved by the refusing proxy, and the guide's steps are seen."""

import shutil

import pytest

from runner.results.store import RunFolder

POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: details}
spec:
  selector: {matchLabels: {app: details}}
  rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/ACCOUNT]}}]}]
"""

NOTHING = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-nothing}
spec: {}
"""

EXPERIMENT = """
experiment: closed
question: Does the policy shut the door?
variants:
  closed: {apply: [POLICY]}
load:
  locust: {file: load.py}
  users: 2
  warmup: 1s
  duration: 2s
blocks: 1
checks:
  closed: [CHECKS]
"""


def document(shop, result):
    return RunFolder.open(shop.folder / result.stdout.strip().splitlines()[-1]).document()


def experiment(shop, policy, *checks):
    shop.write("policy.yaml", policy)
    quoted = ", ".join(f'"{check}"' for check in checks)
    shop.write("closed.yaml", EXPERIMENT.replace("POLICY", "policy.yaml").replace("CHECKS", quoted))


@pytest.mark.timeout(120)
def test_a_closed_door_is_a_pass_where_it_is_asked_for(workshop):
    experiment(workshop, NOTHING, "status[200] == 0", "requests == proxy[productpage rbac.denied]")
    result = workshop.run("run", "closed.yaml")
    assert result.returncode == 0, result.stderr
    found = document(workshop, result)
    (closed,) = found.variants
    assert closed.requests > 0
    assert closed.status == {"403": closed.requests}
    assert closed.errors == closed.requests
    assert closed.proxy["productpage-v1"]["http.inbound_0.0.0.0_9080;.rbac.denied"] == closed.requests
    (trial,) = closed.trials
    assert trial.valid
    assert found.restored == "the mesh holds what it held before, verified on 8 proxies"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("account", "code"), [("bookinfo-productpage", 0), ("bookinfo-productpge", 1)])
def test_only_the_named_account_gets_in_and_a_slip_of_the_pen_is_told(workshop, account, code):
    checks = ("outcome[something unavailable] == 0", "proxy[details-v1 rbac.denied] == 0")
    experiment(workshop, POLICY.replace("ACCOUNT", account), *checks)
    result = workshop.run("run", "closed.yaml")
    assert result.returncode == code, result.stderr
    (closed,) = document(workshop, result).variants
    counters = closed.proxy["details-v1"]
    moved = "denied" if code else "allowed"
    assert counters[f"http.inbound_0.0.0.0_9080;.rbac.{moved}"] == closed.requests > 0
    hint = 'Did you mean "cluster.local/ns/default/sa/bookinfo-productpage"?'
    assert (hint in result.stderr) is bool(code)


@pytest.mark.timeout(240)
def test_the_guides_steps(workshop, repository):
    for name in ("experiments", "loadfiles"):
        shutil.copytree(repository / name, workshop.folder / name)
    result = workshop.run("run", "experiments/authorization.yaml", "--quick", "--blocks", "1", timeout=220)
    found = document(workshop, result)
    shown = {variant.name: set(variant.outcomes) for variant in found.variants}
    assert shown == {
        "open": {"black stars"},
        "allow-nothing": {"access denied"},
        "productpage-viewer": {"details unavailable", "reviews unavailable"},
        "details-and-reviews-viewers": {"ratings unavailable"},
        "all-viewers": {"black stars"},
    }
    refusals = {
        variant.name: {
            workload
            for workload, counters in variant.proxy.items()
            for stat in counters
            if stat.endswith("rbac.denied")
        }
        for variant in found.variants
    }
    assert refusals == {
        "open": set(),
        "allow-nothing": {"productpage-v1"},
        "productpage-viewer": {"details-v1", "reviews-v2"},
        "details-and-reviews-viewers": {"ratings-v1"},
        "all-viewers": set(),
    }
    assert not [check for check in found.checks if check.outcome == "failed"]
