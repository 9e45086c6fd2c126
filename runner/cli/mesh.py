"""`meshtrial mesh`: an embedded mesh that stays up, and what one does with it by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.errors import InputError, MeshError, Problem

if TYPE_CHECKING:
    from runner.istio.resource import Resource
    from runner.mesh.local.mesh import LocalMesh

_KINDS = {
    "virtualservice": "VirtualService",
    "vs": "VirtualService",
    "destinationrule": "DestinationRule",
    "dr": "DestinationRule",
    "gateway": "Gateway",
    "gw": "Gateway",
    "authorizationpolicy": "AuthorizationPolicy",
    "authorizationpolicies": "AuthorizationPolicy",
    "ap": "AuthorizationPolicy",
    "peerauthentication": "PeerAuthentication",
    "pa": "PeerAuthentication",
    "service": "Service",
    "svc": "Service",
}


@click.group()
def mesh() -> None:
    """Start, change and look at an embedded mesh that stays up; `meshtrial run` joins it."""


_of_app = click.option("--app", help="The mesh of this app, when several are up; the last one otherwise.")


def _standing(app: str | None = None) -> LocalMesh:
    from runner.mesh.local.mesh import LocalMesh as Local  # noqa: PLC0415 - keeps --help quick

    found = Local.join(app)
    if found is None:
        which = f"no embedded mesh of {app} is up" if app else "no embedded mesh is up"
        command = f"meshtrial mesh up --app {app}" if app else "meshtrial mesh up"
        raise MeshError(which, advice=f"Start one with `{command}`")
    return found


@mesh.command()
@click.option("--app", default="bookinfo", show_default=True, help="A shipped app, or the path of an app file.")
def up(app: str) -> None:
    """Start an embedded mesh and leave it running; its gateway's URL is the last line."""
    from runner.mesh.local.mesh import LocalMesh as Local  # noqa: PLC0415 - keeps --help quick

    found = Local.join(app)
    if found is None:
        found = Local.start(app, owned=False)
    else:
        print("it was up already", file=sys.stderr)
    description = found.describe()
    print(f"{description.identity}: {len(description.proxies)} proxies, Envoy {description.envoy}", file=sys.stderr)
    url = found.gateway_url()
    found.leave_running()
    print(url)


@mesh.command()
@click.option("--app", help="Only the mesh of this app; all that are up otherwise.")
def down(app: str | None) -> None:
    """End the embedded meshes that `mesh up` left running."""
    from runner.mesh.local.instance import living_instances  # noqa: PLC0415 - keeps --help quick
    from runner.mesh.local.launch import end  # noqa: PLC0415 - the same

    ended = 0
    for instance in living_instances():
        if not instance.owned and (app is None or app == instance.topology.app or instance.runs(Path(app))):
            with instance.in_use("meshtrial mesh down"):
                end(instance)
            print(f"ended {instance.identity}")
            ended += 1
    if not ended:
        print(f"no embedded mesh of {app} was up" if app else "no embedded mesh was up")


@mesh.command()
@_of_app
def status(app: str | None) -> None:
    """Show the embedded mesh: its pods, their addresses, and the config version that each proxy holds."""
    from runner.mesh.local.topology import ADMIN_PORT  # noqa: PLC0415 - keeps --help quick

    found = _standing(app)
    description = found.describe()
    versions = found.versions()
    print(f"{description.identity}: app {description.app}, Envoy {description.envoy}")
    print(f"gateway: {found.gateway_url()}")
    width = max(len(pod.name) for pod in found.instance.topology.pods)
    print(f"\n{'POD':{width}}  {'INBOUND':15}  {'OUTBOUND':15}  {'ADMIN':28}  CONFIG")
    for pod in found.instance.topology.pods:
        if not pod.proxied:
            print(f"{pod.name:{width}}  {pod.address:15}  {'-':15}  {'-':28}  no sidecar")
            continue
        admin = f"http://{pod.outbound}:{ADMIN_PORT}"
        version = versions.get(pod.name, "no answer")
        print(f"{pod.name:{width}}  {pod.address:15}  {pod.outbound:15}  {admin:28}  {version}")
    for death in found.deaths():
        print(f"died: {death}")
    found.leave_running()


@mesh.command()
@click.option(
    "-f", "--filename", "files", multiple=True, required=True, type=click.Path(path_type=Path), help="Manifest."
)
@_of_app
def apply(files: tuple[Path, ...], app: str | None) -> None:
    """Apply manifests as kubectl does; returns once every proxy holds them."""
    from runner.istio.load import load_manifests, merge  # noqa: PLC0415 - keeps --help quick

    resources: list[Resource] = []
    for file in files:
        resources = merge(resources, load_manifests(file))
    found = _standing(app)
    try:
        with found.hold("meshtrial mesh apply"):
            before = {resource.key: resource.canonical() for resource in found.applied()}
            for warning in found.check(merge(found.applied(), resources)):
                print(f"warning: {warning}", file=sys.stderr)
            found.apply(resources)
        for death in found.deaths():
            print(f"warning: {death}, so it does not hold this", file=sys.stderr)
    finally:
        found.leave_running()
    for resource in resources:
        change = "created" if resource.key not in before else "configured"
        if before.get(resource.key) == resource.canonical():
            change = "unchanged"
        print(f"{resource.key.kind.lower()}/{resource.key.name} {change}")


@mesh.command()
@click.argument("names", nargs=-1, metavar="[KIND NAME...]")
@click.option("-f", "--filename", "files", multiple=True, type=click.Path(path_type=Path), help="Manifest.")
@click.option("--namespace", "-n", default="default", show_default=True, help="Namespace of what is named.")
@_of_app
def delete(names: tuple[str, ...], files: tuple[Path, ...], namespace: str, app: str | None) -> None:
    """Delete resources: of manifests (-f), or by kind and name; returns once every proxy dropped them."""
    from runner.istio.load import load_manifests  # noqa: PLC0415 - keeps --help quick
    from runner.istio.resource import ResourceKey  # noqa: PLC0415 - the same

    keys = [resource.key for file in files for resource in load_manifests(file)]
    if names:
        keys += [ResourceKey(_kind(names[0]), namespace, name) for name in names[1:]]
    if not keys:
        raise InputError(Problem("nothing to delete was named", expected="-f FILE, or a kind and names"))
    found = _standing(app)
    try:
        with found.hold("meshtrial mesh delete"):
            present = {resource.key for resource in found.applied()}
            missing = [key for key in keys if key not in present]
            if missing:
                raise InputError(Problem(f"{missing[0]} is not applied", suggestion="Nothing was deleted"))
            found.apply([], keys)
    finally:
        found.leave_running()
    for key in keys:
        print(f"{key.kind.lower()}/{key.name} deleted")


@mesh.command()
@click.argument("kind")
@click.argument("name", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["yaml", "json", "name"]),
    default="name",
    show_default=True,
    help="Names, or whole resources.",
)
@_of_app
def get(kind: str, name: str | None, output: str, app: str | None) -> None:
    """Print what is applied, of a kind (or `all`), or one resource by name."""
    import json  # noqa: PLC0415 - keeps --help quick

    from runner.yamlfile.dialect import to_yaml  # noqa: PLC0415 - the same
    from runner.yamlfile.problems import suggest  # noqa: PLC0415 - the same

    found = _standing(app)
    chosen = None if kind.lower() == "all" else _kind(kind)
    resources = [
        resource
        for resource in found.applied()
        if chosen in {None, resource.key.kind} and name in {None, resource.key.name}
    ]
    found.leave_running()
    if name is not None and not resources:
        names = [item.key.name for item in found.applied() if chosen in {None, item.key.kind}]
        raise InputError(
            Problem(f"no {chosen or 'resource'} called {name} is applied", suggestion=suggest(name, names))
        )
    if output == "name":
        for resource in resources:
            print(f"{resource.key.kind.lower()}/{resource.key.name}")
    elif output == "json":
        print(json.dumps([resource.body for resource in resources], indent=2, ensure_ascii=False))
    else:
        print("---\n".join(to_yaml(item.body) for item in resources), end="")


def _kind(word: str) -> str:
    from runner.yamlfile.problems import suggest  # noqa: PLC0415 - keeps --help quick

    lower = word.lower()
    kind = _KINDS.get(lower) or _KINDS.get(lower.removesuffix("s"))
    if kind is None:
        known = sorted(set(_KINDS.values()))
        raise InputError(
            Problem(
                f'there is no kind "{word}"', expected="one of " + ", ".join(known), suggestion=suggest(word, _KINDS)
            )
        )
    return kind


@mesh.command()
@click.argument("workload")
@click.option("--filter", "pattern", metavar="REGEX", help="Only stats whose name matches.")
@_of_app
def stats(workload: str, pattern: str | None, app: str | None) -> None:
    """Print a workload's proxy stats as `pilot-agent request GET stats` does: `name: value`."""
    import re  # noqa: PLC0415 - keeps --help quick

    try:
        wanted = re.compile(pattern or "")
    except re.error as error:
        raise InputError(Problem(f"--filter {pattern}: no regular expression ({error})")) from None
    found = _standing(app)
    pod = found.find_pod(workload)
    if not pod.proxied:
        raise InputError(Problem(f"{pod.name} has no sidecar, and so no stats"))
    answers = found.admin("/stats")
    found.leave_running()
    if pod.name not in answers:
        raise MeshError(f"the proxy of {pod.name} does not answer", advice="See `meshtrial mesh status`")
    for line in answers[pod.name].splitlines():
        if wanted.search(line.rpartition(": ")[0] or line):
            print(line)


@mesh.command()
@click.argument("workload")
@click.option("--app", "of_app", is_flag=True, help="What the app printed, instead of the proxy's access log.")
@click.option("--proxy", "of_proxy", is_flag=True, help="What Envoy itself logged, instead of its access log.")
@click.option("--tail", type=click.IntRange(min=0), default=50, show_default=True, help="The last lines only.")
@click.option(
    "--mesh-app", "app", metavar="APP", help="The mesh of this app, when several are up; the last one otherwise."
)
def logs(workload: str, tail: int, app: str | None, *, of_app: bool, of_proxy: bool) -> None:
    """Print the end of a workload's access log (as the istio-proxy container logs it)."""
    from runner.mesh.local.launch import pod_paths  # noqa: PLC0415 - keeps --help quick

    found = _standing(app)
    pod = found.find_pod(workload)
    folder = found.instance.folder
    path = pod_paths(folder, pod).access_log
    if of_app or of_proxy:
        path = folder / f"{pod.name}.{'app' if of_app else 'envoy'}.log"
    found.leave_running()
    if not path.exists():
        raise InputError(f"{pod.name} has no such log")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines[len(lines) - tail :] if tail else []:
        print(line)
