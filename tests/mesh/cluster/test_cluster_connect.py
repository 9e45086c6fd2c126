"""Which cluster a run means, and what is said when it can't be told; nothing is asked of any cluster."""

import pytest
import yaml

from runner.errors import InputError, MeshError
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.mesh import ClusterMesh
from runner.mesh.cluster.preview import ClusterPreview
from runner.mesh.kinds import mesh_kind
from runner.spec.mesh import ClusterMesh as Choice
from runner.spec.mesh import ClusterTarget


@pytest.fixture
def kubeconfig(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def write(*contexts, current=None, name="config"):
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": current or (contexts[0] if contexts else ""),
            "clusters": [{"name": item, "cluster": {"server": f"http://127.0.0.1:1/{item}"}} for item in contexts],
            "users": [{"name": item, "user": {"token": f"token of {item}"}} for item in contexts],
            "contexts": [{"name": item, "context": {"cluster": item, "user": item}} for item in contexts],
        }  # fmt: skip
        path = tmp_path / name
        path.write_text(yaml.safe_dump(document))
        monkeypatch.setenv("KUBECONFIG", str(path))
        return path

    return write


@pytest.fixture
def connected():
    opened = []

    def open_one(context=None):
        opened.append(connect(context))
        return opened[-1]

    yield open_one
    for api in opened:
        api.close()


def test_the_current_context_is_meant_or_the_one_that_is_named(kubeconfig, connected):
    kubeconfig("staging", "production")
    assert (connected().context, connected().server) == ("staging", "http://127.0.0.1:1/staging")
    api = connected("production")
    assert (api.context, api.headers()) == ("production", {"authorization": "Bearer token of production"})


def test_several_files_are_merged_as_kubectl_does(kubeconfig, connected, monkeypatch):
    one, two = kubeconfig("staging", name="one"), kubeconfig("production", name="two")
    monkeypatch.setenv("KUBECONFIG", f"{one}:{two}:/nowhere/three")
    assert connected("production").server.endswith("production")


def test_an_unknown_context_is_told_with_the_nearest_name(kubeconfig):
    kubeconfig("staging", "production")
    with pytest.raises(
        InputError, match=r'has no context "stagin"; expected one of staging, production\. Did you mean "staging"'
    ):
        connect("stagin")


def test_no_kubeconfig_is_told(monkeypatch, tmp_path):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(
        InputError, match=r"there is no kubeconfig: KUBECONFIG is not set and ~/\.kube/config is not there"
    ):
        connect(None)
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    with pytest.raises(InputError, match="KUBECONFIG names /nowhere/config, which is not there"):
        connect(None)


@pytest.mark.parametrize("text", ["a: [", "", "just text", "contexts: 3", "contexts: [{name: a}]\ncurrent-context: a"])
def test_a_kubeconfig_that_is_none_is_told(kubeconfig, text):
    kubeconfig("staging").write_text(text)
    with pytest.raises((InputError, MeshError), match="config"):
        connect(None)


def test_a_context_without_a_current_one_must_be_named(kubeconfig):
    kubeconfig("staging", current=None).write_text(
        "{apiVersion: v1, kind: Config, clusters: [], users: [], contexts: [{name: a, context: {cluster: a, user: a}}]}"
    )
    with pytest.raises(InputError, match=r"has no current context; expected a context: a\. Use --context"):
        connect(None)


def test_a_journal_of_a_cluster_that_is_not_known_here_says_how_to_reach_it(kubeconfig):
    kubeconfig("staging")
    with pytest.raises(MeshError, match="Set KUBECONFIG to the kubeconfig that the run had"):
        ClusterMesh.reopen("http://127.0.0.1:1/production default production")
    with pytest.raises(MeshError, match="but the context staging leads to"):
        ClusterMesh.reopen("http://127.0.0.1:1/production default staging")


def test_a_cluster_is_a_kind_of_mesh():
    choice = Choice(cluster=ClusterTarget(namespace="shop"))
    preview = mesh_kind(choice).preview(choice)
    assert isinstance(preview, ClusterPreview)
    assert preview.entry_problems([], "gateway", None) == []
    assert preview.entry_problems([], "client", None) == []
    with pytest.raises(InputError, match="--fresh starts an embedded mesh"):
        mesh_kind(choice).open(choice, True, None)  # noqa: FBT003 - the kinds' own signature
