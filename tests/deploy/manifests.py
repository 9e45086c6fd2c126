"""The shipped deployment files, as tests read them."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUSTOMIZE = DEPLOY / "kustomize"


def build(folder):
    """The objects of a kustomization; skips where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("kustomize is part of kubectl, and there is none here")
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)],  # noqa: S607 - found on PATH above
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return list(yaml.safe_load_all(done.stdout))
