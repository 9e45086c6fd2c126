"""What tests of the cluster kind run against: an apiserver alone, the rig, or any cluster that MESHTRIAL_KUBECONFIG names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cluster.rig import builds, lifecycle
from tests.cluster.rig.bare import apiserver as bare_apiserver
from tests.cluster.rig.processes import RigError

OWNED = os.environ.get("MESHTRIAL_RIG") == "owned"
"""Whether `make test-cluster` brought the rig up for this run, so that tests may end it."""


def pytest_collection_modifyitems(items):
    """What takes the rig down and up comes before anything that keeps objects on it."""
    early = ("test_guard_counts_who_tries", "test_down_leaves_nothing")
    items.sort(key=lambda item: early.index(item.name) if item.name in early else len(early))


@pytest.fixture(scope="session")
def apiserver():
    """A real apiserver on loopback with Istio's kinds, as `ControlPlane`: nothing behind it reconciles what is written."""
    missing = [name for name in ("etcd", "go", "openssl") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"there is no {' and no '.join(missing)} here")
    if not builds.KUBE.path.exists():
        pytest.skip("Kubernetes is not built yet: make test-cluster builds it")
    with bare_apiserver() as control:
        yield control


@pytest.fixture(scope="session")
def kubeconfig():
    """The kubeconfig of a cluster with Istio: the one that MESHTRIAL_KUBECONFIG names, else a rig that is up."""
    given = os.environ.get("MESHTRIAL_KUBECONFIG")
    if given:
        return Path(given)
    if lifecycle.lacking() or not lifecycle.is_up():
        pytest.skip("no cluster: make test-cluster brings one up, or set MESHTRIAL_KUBECONFIG")
    return lifecycle.KUBECONFIG


@pytest.fixture(scope="session")
def rig(kubeconfig):
    """The rig, as its `ControlPlane`."""
    if kubeconfig.resolve() != lifecycle.KUBECONFIG:
        pytest.skip("the cluster that MESHTRIAL_KUBECONFIG names is not the rig")
    try:
        return lifecycle.control()
    except RigError as error:
        pytest.skip(str(error))
