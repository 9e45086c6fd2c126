"""The PeerAuthentications that count in a namespace: its own, and the whole mesh's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.istio.load import known_part
from runner.istio.peer_authentication import ROOT_NAMESPACE, PeerAuthentication
from runner.mesh.cluster.errors import StatusError
from runner.mesh.cluster.held import held_of

if TYPE_CHECKING:
    from runner.mesh.cluster.held import Held
    from runner.mesh.cluster.store import Store

KIND = "PeerAuthentication"


def peer_policies(store: Store) -> list[tuple[str, PeerAuthentication]] | None:
    """All of them with their namespaces, the oldest first; None when some can't be seen or read.

    Raises:
        MeshError: the server can't be asked.
    """
    place = store.places.find(KIND)
    if place is None or KIND in store.hidden:
        return None
    held = [item for key, item in store.known().items() if key.kind == KIND and key.namespace == store.namespace]
    if store.namespace != ROOT_NAMESPACE:
        try:
            items = store.api.get(place.path(ROOT_NAMESPACE)).get("items") or []
        except StatusError as error:
            if not error.forbidden:
                raise
            return None
        held += [held_of(item, place, store.source) for item in items]
    found = []
    for item in sorted(held, key=_age):
        spec = known_part(item.resource)
        if not isinstance(spec, PeerAuthentication):
            return None
        found.append((item.resource.key.namespace, spec))
    return found


def _age(item: Held) -> tuple[str, str, str]:
    return item.created, item.resource.key.name, item.resource.key.namespace
