"""App files: what they declare, and what is wrong with them in one sentence."""

import pytest

from runner.errors import InputError
from runner.mesh.local.appfile import command_line, find_app, load_app

GOOD = """
app: shop
manifests: [shop.yaml]
front: shop:8000
commands:
  shop-v1: {run: ["{python}", "-m", "shop", "--listen", "{address}:{port}", "{other}"], ready: /health}
clients: [client]
"""
MANIFESTS = """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{port: 8000, name: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop, version: v1}}
    spec: {serviceAccountName: shopkeeper, containers: [{name: shop, ports: [{containerPort: 8000}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client}}
    spec: {containers: [{name: client}]}
"""


@pytest.fixture
def write(tmp_path):
    (tmp_path / "shop.yaml").write_text(MANIFESTS)

    def app(text):
        (tmp_path / "app.yaml").write_text(text)
        return tmp_path / "app.yaml"

    return app


def test_pods_have_three_addresses_each_and_the_labels_of_their_template(write):
    app = load_app(write(GOOD))
    topology = app.topology("127.70.1")
    gateway, shop, client = topology.pods
    assert (gateway.role, gateway.labels["istio"]) == ("gateway", "ingressgateway")
    assert (shop.labels, shop.service_account, shop.ports) == ({"app": "shop", "version": "v1"}, "shopkeeper", (8000,))
    assert client.ports == ()
    addresses = [address for pod in topology.pods for address in (pod.address, pod.outbound, pod.app)]
    assert len(set(addresses)) == 9
    assert all(address.startswith("127.70.1.") for address in addresses)
    line = command_line(app.commands["shop-v1"], shop)
    assert line[1:] == ["-m", "shop", "--listen", f"{shop.app}:8000", "{other}"]


def test_shipped_apps_are_found_by_name():
    assert load_app(find_app("bookinfo")).front == "productpage:9080"
    assert load_app(find_app("httpbin")).name == "httpbin"
    with pytest.raises(InputError, match=r'no app "bookinf".*bookinfo, httpbin.*Did you mean "bookinfo"'):
        find_app("bookinf")


LABELS = "metadata: {labels: {app: shop, version: v1}}"


@pytest.mark.parametrize(
    ("pod", "namespace", "role"),
    [
        ("", "", "sidecar"),
        (", annotations: {sidecar.istio.io/inject: 'false'}", "", "plain"),
        (", annotations: {sidecar.istio.io/inject: 'true'}", "", "sidecar"),
        ("", "metadata: {name: default}", "plain"),
        ("", "metadata: {name: default, labels: {istio-injection: enabled}}", "sidecar"),
        ("", "metadata: {name: default, labels: {istio.io/rev: canary}}", "sidecar"),
        ("", "metadata: {name: default, labels: {istio-injection: disabled, istio.io/rev: canary}}", "plain"),
        ("", "metadata: {name: other}", "sidecar"),
        (", annotations: {sidecar.istio.io/inject: 'true'}", "metadata: {name: default}", "sidecar"),
        (", annotations: {sidecar.istio.io/inject: 'maybe'}", "metadata: {name: default}", "plain"),
    ],
)
def test_pods_have_sidecars_as_istio_injects_them(write, tmp_path, pod, namespace, role):
    text = MANIFESTS.replace(LABELS, LABELS.removesuffix("}") + pod + "}")
    assert LABELS in MANIFESTS
    if namespace:
        text += f"---\napiVersion: v1\nkind: Namespace\n{namespace}\n"
    path = write(GOOD)
    (tmp_path / "shop.yaml").write_text(text)
    _, shop, _ = load_app(path).topology("127.70.1").pods
    assert shop.role == role
    assert (shop.app == shop.address) == (role == "plain")


def test_a_label_counts_more_than_an_annotation(write, tmp_path):
    labels = "{app: shop, version: v1, sidecar.istio.io/inject: 'false'}"
    annotated = f"metadata: {{labels: {labels}, annotations: {{sidecar.istio.io/inject: 'true'}}}}"
    path = write(GOOD)
    (tmp_path / "shop.yaml").write_text(MANIFESTS.replace(LABELS, annotated))
    assert load_app(path).topology("127.70.1").pod("shop-v1").role == "plain"


def test_workloads_of_other_namespaces_are_called_by_both_names(write, tmp_path):
    other = MANIFESTS.replace("{name: shop-v1}", "{name: shop-v1, namespace: old}").replace(
        "{name: shop}\nspec", "{name: shop, namespace: old}\nspec"
    )
    path = write(GOOD.replace("shop-v1:", "shop-v1.old:").replace("front: shop:", "front: shop.old:"))
    (tmp_path / "shop.yaml").write_text(other)
    app = load_app(path)
    pod = app.topology("127.70.1").pod("shop-v1.old")
    assert (pod.workload, pod.namespace, pod.called) == ("shop-v1", "old", "shop-v1.old")
    assert pod.identity == "spiffe://cluster.local/ns/old/sa/shopkeeper"
    assert pod.ports == (8000,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("shop-v1:", "shop-v2:"), r'app\.yaml:6:3: no Deployment is called "shop-v2".*Did you mean "shop-v1"'),
        (("clients: [client]", "clients: []"), r'"client" has neither a command nor a place under clients'),
        (
            ("manifests: [shop.yaml]", "manifests: [shops.yaml]"),
            r'app\.yaml:3:13: .*shops\.yaml: no such file.*"shop.yaml"',
        ),
        (("front: shop:8000", "front: shop:80"), r'app\.yaml:4:8: no Service has "shop:80".*one of shop:8000'),
        (("app: shop", "app: ../shop"), r"app\.yaml:2:6: app: '../shop' names a folder"),
        (("front: shop:8000", "frnt: shop:8000"), r'app\.yaml:4:1: unknown key "frnt"'),
        (("ready: /health", "redy: /health"), r'unknown key "redy".*run, ready, env'),
        (("app: shop", "app: [shop]"), r"app\.yaml:2:6: app: "),
    ],
)
def test_mistakes_are_told_with_their_place(write, change, message):
    with pytest.raises(InputError, match=message):
        load_app(write(GOOD.replace(*change)))
