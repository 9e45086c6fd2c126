"""The declarations of the shipped apps: complete, consistent, and Bookinfo's objects equal to Istio's sample."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import runner.mesh.local.apps
from runner.yamlfile import read_documents

APPS = Path(runner.mesh.local.apps.__file__).parent
ROOT = Path(__file__).parents[4]
REFERENCE = ROOT.parent / "shared" / "reference" / "manifests"
EVERY = ["bookinfo", "httpbin"]


def objects_in(path):
    documents = [document.data for document in read_documents(path)]
    return {(body["kind"], body["metadata"]["name"]): body for body in documents}


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
            if service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
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
        assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in objects


@pytest.mark.parametrize("app", EVERY)
def test_the_base_leads_from_the_gateway_to_the_front(app):
    data, _ = declared(app)
    base = objects_in(APPS / app / data["base"][0])
    gateway = base["Gateway", f"{app}-gateway"]
    routes = base["VirtualService", app]["spec"]
    assert gateway["spec"]["servers"][0]["port"] == {"number": 8080, "name": "http", "protocol": "HTTP"}
    assert routes["gateways"] == [f"{app}-gateway"]
    destination = routes["http"][0]["route"][0]["destination"]
    assert f"{destination['host']}:{destination['port']['number']}" == data["front"]


def test_a_client_is_a_sidecar_and_nothing_else():
    for app in EVERY:
        data, objects = declared(app)
        assert data["clients"] == ["client"]
        template = deployments(objects)["client"]["spec"]["template"]
        assert template["metadata"]["labels"] == {"app": "client"}
        assert not any("ports" in box for box in template["spec"]["containers"])


@pytest.mark.parametrize("name", ["bookinfo.yaml", "bookinfo-gateway.yaml"])
def test_bookinfos_objects_equal_istios_sample(name):
    if not (REFERENCE / name).exists():
        pytest.skip(f"Istio's sample is not at {REFERENCE / name}")
    assert objects_in(APPS / "bookinfo" / name) == objects_in(REFERENCE / name)
