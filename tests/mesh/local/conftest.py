"""A real embedded mesh for the tests of this room."""

import pytest

from runner.istio.load import parse_manifests
from runner.mesh.local.mesh import LocalMesh


@pytest.fixture(scope="module")
def bookinfo():
    """An embedded mesh with Bookinfo that belongs to this module's tests."""
    mesh = LocalMesh.start("bookinfo")
    yield mesh
    mesh.close()


@pytest.fixture
def manifests():
    """Reads resources from YAML text."""

    def read(text: str):
        return parse_manifests(text, "test.yaml")

    return read
