from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import InputError
from runner.spec.load import LoadedExperiment, load_experiment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HEAD = "load: {locust: {file: ../loadfiles/bookinfo.py}}\n"


class Project:
    """A folder with an experiment file, manifests and a loadfile, as a user has it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "experiments" / "trial.yaml"
        for name in ("delay", "timeout", "setup"):
            self.put(f"experiments/istio/{name}.yaml", "kind: VirtualService\n")
        self.put("loadfiles/bookinfo.py", "")

    def put(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def write(self, text: str, *, head: str = HEAD) -> None:
        self.put("experiments/trial.yaml", textwrap.dedent(text) + head)

    def load(
        self, text: str | None = None, *, head: str = HEAD, environ: Mapping[str, str] | None = None, **options: Any
    ) -> LoadedExperiment:
        if text is not None:
            self.write(text, head=head)
        return load_experiment(self.path, environ=environ or {}, **options)

    def problems(self, text: str | None = None, **options: Any) -> list[str]:
        """What is wrong, a line each, as `line:column: message`."""
        with pytest.raises(InputError) as caught:
            self.load(text, **options)
        return [str(problem).removeprefix(f"{self.path}:") for problem in caught.value.problems]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
