"""What of a write proxies can show: specs that differ, and resources that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.mesh.cluster.confirm import Change
from runner.mesh.cluster.entry import target_ports
from runner.mesh.cluster.expect import State
from runner.mesh.cluster.peers import KIND as PEERS
from runner.mesh.cluster.peers import peer_policies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.cluster.held import Held
    from runner.mesh.cluster.inventory import Inventory
    from runner.mesh.cluster.store import Store


def change_of(
    store: Store,
    inventory: Inventory,
    prior: Mapping[ResourceKey, Held],
    put: Sequence[Resource],
    delete: Sequence[ResourceKey],
    written: Sequence[Held],
) -> Change:
    """What is to arrive at the proxies.

    Args:
        store: the objects, written.
        inventory: what runs there.
        prior: what was there before.
        put: what was put.
        delete: what was deleted.
        written: what was put, as the server holds it now.

    Raises:
        MeshError: the server can't be asked.
    """
    now = {held.resource.key: held for held in written}
    changed = [
        item
        for item in put
        if item.key not in prior
        or (now[item.key].uid, now[item.key].generation) != (prior[item.key].uid, prior[item.key].generation)
    ]
    gone = [key for key in delete if key in prior]
    policed = any(key.kind == PEERS for key in (*gone, *(item.key for item in changed)))
    resources = [held.resource for held in store.known().values()]
    targets = target_ports(inventory.services, inventory.gateways)
    return Change(
        State.of(resources, targets, peer_policies(store) if policed else None),
        changed,
        gone,
        {item.key: now[item.key].version for item in changed},
        [prior[key].resource for key in gone],
    )
