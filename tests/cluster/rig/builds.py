"""What the rig is made of, built from Go modules and kept under ~/.cache: each binary once for each version of its sources."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.rig.places import BIN, FILES, FORTIO, ISTIO, ISTIO_MODULE, KUBERNETES
from tests.cluster.rig.processes import RigError, call, locked

if TYPE_CHECKING:
    from collections.abc import Mapping

_KUBE_VERSION = "k8s.io/component-base/version"
_ISTIO_VERSION = "istio.io/istio/pkg/version"
_MAJOR, _MINOR, _ = KUBERNETES.split(".")

_KUBE_FLAGS = f"-s -w -X {_KUBE_VERSION}.gitVersion=v{KUBERNETES} -X {_KUBE_VERSION}.gitMajor={_MAJOR} -X {_KUBE_VERSION}.gitMinor={_MINOR}"
_ISTIO_FLAGS = " ".join(
    ["-s -w"]
    + [
        f"-X {_ISTIO_VERSION}.{name}={value}"
        for name, value in {
            "buildVersion": ISTIO,
            "buildGitRevision": ISTIO_MODULE.rpartition("-")[2],
            "buildStatus": "Clean",
            "buildTag": ISTIO,
            "buildHub": "docker.io/local",
        }.items()
    ]
)


@dataclass(frozen=True, slots=True)
class GoProgram:
    """A Go program.

    Attributes:
        name: of the binary.
        package: what `go install` takes, with its version; None when `sources` is a module of ours.
        sources: a folder with go.mod, go.sum and main.go.
        flags: the linker's; versions that a program tells are set here.
        environ: more for the build.
    """

    name: str
    package: str | None = None
    sources: Path | None = None
    flags: str = "-s -w"
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Where the binary is kept; its name holds what it was made of."""
        mark = hashlib.sha256(f"{self.package} {self.flags} {sorted(self.environ.items())}".encode())
        if self.sources:
            for file in sorted(self.sources.iterdir()):
                mark.update(file.read_bytes())
        return BIN / f"{self.name}-{mark.hexdigest()[:12]}"

    def build(self) -> Path:
        """The binary, built unless it is there.

        Raises:
            RigError: Go is missing, or the build failed.
        """
        path = self.path
        with locked(BIN / f".{self.name}.lock"):
            if not path.exists():
                if shutil.which("go") is None:
                    raise RigError(f"{self.name} has to be built, and there is no go on PATH")
                sys.stderr.write(f"building {self.name} (minutes the first time)\n")
                with tempfile.TemporaryDirectory(dir=BIN) as folder:
                    self._go(Path(folder)).rename(path)
        return path

    def _go(self, folder: Path) -> Path:
        if self.package:
            command = ["go", "install", "-ldflags", self.flags, self.package]
            call(command, environ={**self.environ, "GOBIN": str(folder)})
            return next(folder.iterdir())
        call(
            [
                "go",
                "-C",
                str(self.sources),
                "build",
                "-mod=readonly",
                "-ldflags",
                self.flags,
                "-o",
                str(folder / "program"),
                ".",
            ],
            environ=self.environ,
        )
        return folder / "program"


KUBE = GoProgram("kube", sources=FILES / "kube", flags=_KUBE_FLAGS)
"""kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy and kubectl in one: they share nearly all of their code."""
PILOT, AGENT, ISTIOCTL = (
    GoProgram(name, f"istio.io/istio/{folder}/{name}@{ISTIO_MODULE}", flags=_ISTIO_FLAGS)
    for name, folder in (("pilot-discovery", "pilot/cmd"), ("pilot-agent", "pilot/cmd"), ("istioctl", "istioctl/cmd"))
)
COREDNS = GoProgram("coredns", sources=FILES / "coredns", environ={"CGO_ENABLED": "0"})
FORTIO_PROGRAM = GoProgram("fortio", f"fortio.org/fortio@v{FORTIO}", environ={"CGO_ENABLED": "0"})

PROGRAMS = (KUBE, PILOT, AGENT, ISTIOCTL, COREDNS, FORTIO_PROGRAM)


def kubernetes_binary() -> Path:
    """The one binary of Kubernetes' parts.

    Raises:
        RigError: it can't be built.
    """
    return KUBE.build()


def istio_sources() -> Path:
    """The Istio module's files: charts, CRDs, the bootstrap template of proxies.

    Raises:
        RigError: they can't be had.
    """
    printed = call(["go", "mod", "download", "-json", f"istio.io/istio@{ISTIO_MODULE}"])
    for line in printed.splitlines():
        key, _, value = line.strip().rstrip(",").partition(": ")
        if key == '"Dir"':
            return Path(value.strip('"'))
    raise RigError(f"go mod download tells no folder of the Istio module: {printed}")
