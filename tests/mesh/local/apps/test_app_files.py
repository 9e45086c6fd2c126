"""The declarations of the shipped apps: complete, consistent, and Bookinfo's objects equal to Istio's sample."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import runner.mesh.local.apps
from runner.mesh.local.appfile import find_app, load_app
from runner.yamlfile.documents import read_documents

APPS = Path(runner.mesh.local.apps.__file__).parent
ROOT = Path(__file__).parents[4]
REFERENCE = ROOT.parent / "shared" / "reference" / "manifests"
EVERY = ["bookinfo", "httpbin", "httpbin-legacy"]
CLIENTS = {"bookinfo": ["client"], "httpbin": ["client"], "httpbin-legacy": ["sleep", "sleep.legacy"]}


def objects_in(path):
    documents = [document.data for document in read_documents(path)]
    return {(body["kind"], called(body)): body for body in documents}


def called(body, name=None):
    """An object's name, or of another in its namespace; with the namespace where it is not the default one."""
    namespace = body["metadata"].get("namespace")
    return (name or body["metadata"]["name"]) + (f".{namespace}" if namespace else "")


def declared(app):
    [document] = read_documents(APPS / app / "app.yaml")
    objects = {}
    for name in document.data["manifests"]:
        found = objects_in(APPS / app / name)
        assert not objects.keys() & found.keys()
        objects |= found
    return document.data, objects


def deployments(objects):
    return {name: body for (kind, name), body in objects.items() if kind == "Deployment"}


@pytest.mark.parametrize("app", EVERY)
def test_every_deployment_has_a_command_or_is_a_client(app):
    data, objects = declared(app)
    assert set(data) == {"app", "manifests", "base", "front", "commands", "clients"}
    assert data["app"] == app
    assert sorted([*data["commands"], *data["clients"]]) == sorted(deployments(objects))
    for command in data["commands"].values():
        assert command["run"][:2] == ["{python}", "-m"]
        assert importlib.util.find_spec(command["run"][2]) is not None
        assert command["ready"].startswith("/")


@pytest.mark.parametrize("app", EVERY)
def test_services_select_deployments_and_their_ports(app):
    data, objects = declared(app)
    host, _, port = data["front"].partition(":")
    front = objects["Service", host]
    assert [entry["port"] for entry in front["spec"]["ports"]] == [int(port)]
    for (kind, _), service in objects.items():
        if kind != "Service":
            continue
        chosen = [
            deployment["spec"]["template"]
            for deployment in deployments(objects).values()
            if deployment["metadata"].get("namespace") == service["metadata"].get("namespace")
            and service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert chosen
        for template in chosen:
            ports = {port["containerPort"] for box in template["spec"]["containers"] for port in box["ports"]}
            assert ports == {port.get("targetPort", port["port"]) for port in service["spec"]["ports"]}


@pytest.mark.parametrize("app", EVERY)
def test_deployments_select_their_own_pods_and_name_existing_accounts(app):
    _, objects = declared(app)
    for deployment in deployments(objects).values():
        template = deployment["spec"]["template"]
        assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
        assert ("ServiceAccount", called(deployment, template["spec"]["serviceAccountName"])) in objects


@pytest.mark.parametrize("app", EVERY)
def test_the_base_leads_from_the_gateway_to_the_front(app):
    data, _ = declared(app)
    base = objects_in(APPS / app / data["base"][0])
    name = app.removesuffix("-legacy")
    gateway = base["Gateway", f"{name}-gateway"]
    routes = base["VirtualService", name]["spec"]
    assert gateway["spec"]["servers"][0]["port"] == {"number": 8080, "name": "http", "protocol": "HTTP"}
    assert routes["gateways"] == [f"{name}-gateway"]
    destination = routes["http"][0]["route"][0]["destination"]
    assert f"{destination['host']}:{destination['port']['number']}" == data["front"]


def test_a_client_only_sends():
    for app in EVERY:
        data, objects = declared(app)
        assert data["clients"] == CLIENTS[app]
        for name in data["clients"]:
            template = deployments(objects)[name]["spec"]["template"]
            assert template["metadata"]["labels"] == {"app": name.removesuffix(".legacy")}
            assert not any("ports" in box for box in template["spec"]["containers"])


def test_legacy_is_the_same_without_sidecars():
    _, objects = declared("httpbin-legacy")
    assert objects.pop(("Namespace", "legacy"))["metadata"] == {"name": "legacy"}
    here = {key: body for key, body in objects.items() if "namespace" not in body["metadata"]}
    there = {key: body for key, body in objects.items() if "namespace" in body["metadata"]}
    assert [body["spec"] for body in here.values() if "spec" in body] == [
        body["spec"] for body in there.values() if "spec" in body
    ]
    roles = {pod.name: pod.role for pod in load_app(find_app("httpbin-legacy")).topology("127.64.0").pods}
    assert roles == {
        "istio-ingressgateway": "gateway",
        "sleep": "sidecar",
        "httpbin": "sidecar",
        "sleep.legacy": "plain",
        "httpbin.legacy": "plain",
    }


@pytest.mark.parametrize("name", ["bookinfo.yaml", "bookinfo-gateway.yaml"])
def test_bookinfos_objects_equal_istios_sample(name):
    if not (REFERENCE / name).exists():
        pytest.skip(f"Istio's sample is not at {REFERENCE / name}")
    assert objects_in(APPS / "bookinfo" / name) == objects_in(REFERENCE / name)
