"""A new config handed to every proxy that it concerns, and the manifests behind a refusal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runner.errors import ConfigRejectedError, MeshError
from runner.mesh.local import launch
from runner.mesh.local.preview import without_declared
from runner.mesh.local.translate import translate
from runner.mesh.local.xds import push

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.local.admin import AdminClient, AdminFleet
    from runner.mesh.local.appfile import AppFile
    from runner.mesh.local.instance import Instance
    from runner.mesh.local.xds import Held, Wanted

_DEATH_NOTICE = 1.0
"""The longest wait, in seconds, for the supervisor to note that a silent proxy is dead."""

_POLL = 0.005

_SHORTEST_TELLING_NAME = 6
"""A route config is called `9080`: too common a word to blame a manifest by."""


def push_all(fleet: AdminFleet, instance: Instance, before: dict[str, Wanted], after: dict[str, Wanted]) -> None:
    """Return once every proxy whose config changed holds the new one; a proxy that has died is passed over.

    Args:
        fleet: the proxies.
        instance: the mesh that they belong to.
        before: what each is known to hold, by proxy; one that is missing gets its config in any case.
        after: what each shall hold, by proxy.

    Raises:
        ConfigRejectedError: a proxy refused.
        MeshError: a proxy that lives does not answer.
    """

    def one(client: AdminClient) -> Held | MeshError:
        pod = client.pod
        try:
            return push(
                client,
                before.get(pod.name),
                after[pod.name],
                launch.pod_paths(instance.folder, pod),
                launch.envoy_log(instance.folder, pod),
            )
        except MeshError as error:
            return error

    concerned = [name for name in after if name not in before or before[name].version != after[name].version]
    answers = fleet.each(one, concerned) if concerned else {}
    refusals = [answer for answer in answers.values() if isinstance(answer, MeshError)]
    if refusals:
        raise next((error for error in refusals if isinstance(error, ConfigRejectedError)), refusals[0])
    silent = {name for name in concerned if name not in answers}
    if silent and not _all_dead(instance, silent):
        raise MeshError(
            f"no answer from the proxy of {', '.join(sorted(silent))}",
            advice="End this mesh with `meshtrial mesh down` and start again",
        )


def _all_dead(instance: Instance, silent: set[str]) -> bool:
    """Whether the supervisor saw all of these proxies end: a dead proxy holds nothing that could be changed."""
    deadline = time.monotonic() + _DEATH_NOTICE
    while True:
        if silent <= {death.name.removesuffix(" proxy") for death in instance.deaths()}:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)


def blamed_for(
    words: str, instance: Instance, app: AppFile, held: Sequence[Resource], resources: Sequence[Resource]
) -> list[Resource]:
    """The manifests behind a refusal: of those that changed, the ones that shaped a resource Envoy names, else all.

    Args:
        words: the refusal.
        instance: the mesh.
        app: what runs in it.
        held: the state that it holds.
        resources: the state that was refused.
    """
    known = {resource.key: resource.canonical() for resource in held}
    changed = [resource for resource in resources if known.get(resource.key) != resource.canonical()]
    named: set[ResourceKey] = set()
    for pod in instance.topology.proxied:
        paths = launch.pod_paths(instance.folder, pod)
        config = translate(instance.topology, without_declared(app, resources), pod, paths)
        for item in (*config.clusters, *config.listeners, *config.routes):
            if len(item.name) > _SHORTEST_TELLING_NAME and item.name in words:
                named.update(source.key for source in item.sources)
    return [resource for resource in changed if resource.key in named] or changed
