"""A plain URL as a mesh: nothing is applied, nothing is made up, and nothing of it needs Linux."""

import subprocess
import sys

import pytest

from runner.errors import InputError, MeshError
from runner.istio.load import resources_from
from runner.mesh.base import Entry
from runner.mesh.kinds import KINDS_BY_NAME, mesh_kind
from runner.mesh.none import PlainPreview, PlainTarget, shown_url
from runner.spec.mesh import NoMesh
from runner.yamlfile.documents import parse_documents

CHOICE = NoMesh.model_validate({"none": {"url": "https://me:secret@shop.example.org:8443/api"}})
MANIFEST = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}
"""


@pytest.fixture
def resources():
    (document,) = parse_documents(MANIFEST, "reviews.yaml")
    return resources_from(document)


@pytest.fixture
def mesh():
    return mesh_kind(CHOICE).open(CHOICE, False, None)  # noqa: FBT003 - by position only


def test_it_is_one_of_the_kinds(mesh):
    assert isinstance(mesh, PlainTarget)
    assert isinstance(mesh_kind(CHOICE).preview(CHOICE), PlainPreview)
    assert KINDS_BY_NAME["none"] is mesh_kind(CHOICE)
    assert mesh_kind(CHOICE).reopen("https://shop.example.org") is None


def test_it_has_no_proxies_and_makes_up_nothing(mesh):
    description = mesh.describe()
    assert (description.kind, description.proxies, description.workloads) == ("none", [], {})
    assert (description.envoy, description.app, description.joined) == (None, None, False)
    assert mesh.applied() == []
    assert mesh.versions() == mesh.admin("/stats") == mesh.access_log(0, 1) == {}
    assert mesh.deaths() == []
    assert mesh.apply([], []) == mesh.restore([]) == {}
    assert mesh.check([]) == []
    with mesh.hold("a test"), mesh.hold("another one"):
        pass
    mesh.leave_running()
    mesh.close()
    with pytest.raises(MeshError, match="plain URL"):
        mesh.workload_of("reviews-v1")


def test_the_load_goes_to_the_url_with_the_host_asked_for(mesh):
    assert mesh.entry("gateway") == Entry(CHOICE.none.url, {})
    assert mesh.entry("gateway", "shop.internal").headers == {"Host": "shop.internal"}
    with pytest.raises(InputError, match="no workload"):
        mesh.entry("client")


def test_it_holds_no_resource(mesh, resources):
    for attempt in (
        lambda: mesh.apply(resources, []),
        lambda: mesh.restore(resources),
        lambda: mesh.check(resources),
        lambda: PlainPreview().check(resources),
    ):
        with pytest.raises(InputError, match=r"reviews\.yaml:1:1: a mesh of kind none applies nothing"):
            attempt()
    with pytest.raises(InputError, match="nothing to delete"):
        mesh.apply([], [resources[0].key])


def test_a_name_and_a_password_are_never_shown(mesh):
    assert mesh.describe().url == mesh.describe().identity == "https://***@shop.example.org:8443/api"
    assert shown_url("http://127.0.0.1:8080/a?b=c") == "http://127.0.0.1:8080/a?b=c"
    assert shown_url("http://[::1]:80/") == "http://[::1]:80/"


WITHOUT_LINUX = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("runner.mesh.local") or name in {"envoy", "ctypes.wintypes"}:
            raise ImportError(f"{name} is for Linux")
        return None

sys.meta_path.insert(0, Refuse())
from pathlib import Path
from runner.conduct.meshes import Meshes
from runner.conduct.plan import make_plan
from runner.conduct.preview import preview
from runner.conduct.suite import run_all
from runner.cli.run import run
from runner.cli.show import Shown
from runner.spec.load import load_experiment

experiment = load_experiment(Path(sys.argv[1]))
plan, warnings = preview(make_plan(experiment, 1))
with Meshes() as meshes:
    mesh = meshes.open(experiment.experiment.mesh)
    print(plan.variants[0].url, mesh.entry("gateway").url, plan.order(1)[0].variant.faults == frozenset())
"""


def test_nothing_on_its_way_is_for_linux_alone(tmp_path):
    (tmp_path / "load.py").write_text("")
    path = tmp_path / "plain.yaml"
    path.write_text("mesh: {none: {url: 'http://127.0.0.1:9/'}}\nvariants: {a: {}}\nload: {locust: {file: load.py}}\n")
    done = subprocess.run([sys.executable, "-c", WITHOUT_LINUX, path], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["http://127.0.0.1:9/", "http://127.0.0.1:9/", "True"], done.stderr
