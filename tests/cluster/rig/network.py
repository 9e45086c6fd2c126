"""The rig's network: a bridge for pods, one wire to the machine, no way out, and a guard that counts what tries."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass

from tests.cluster.rig import namespaces
from tests.cluster.rig.places import (
    BRIDGE,
    FILES,
    HOME,
    HOST_ADDRESS,
    HOST_LINK,
    LINK_ADDRESS,
    NETWORK,
    NODE_ADDRESS,
    NODE_LINK,
    POD_NETWORK,
    SERVICE_NETWORK,
)
from tests.cluster.rig.processes import Processes, RigError, call

CNI = HOME / "cni"
TABLE = "rig-guard"
"""The guard's, as in files/guard.nft."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a rule of the guard stopped.

    Attributes:
        rule: its comment.
        packets: how many.
    """

    rule: str
    packets: int


def create() -> None:
    """Load the guard, then make bridge and wire.

    Raises:
        RigError: something is in the way, such as another user of the network.
    """
    inside = Processes(HOME / "processes", namespaces.enter())
    rules = (FILES / "guard.nft").read_text(encoding="ascii")
    rules = rules.replace("POD_NETWORK", POD_NETWORK).replace("NETWORK", NETWORK)
    inside.call(["nft", "-f", "-"], data=rules.encode())
    call(["ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", NODE_LINK])
    call(["ip", "link", "set", NODE_LINK, "netns", str(inside.pid("first"))])
    call(["ip", "addr", "add", f"{HOST_ADDRESS}/30", "dev", HOST_LINK])
    call(["ip", "link", "set", HOST_LINK, "up"])
    call(["ip", "route", "add", NETWORK, "via", LINK_ADDRESS, "dev", HOST_LINK])
    for line in (
        "link set lo up",
        f"addr add {LINK_ADDRESS}/30 dev {NODE_LINK}",
        f"link set {NODE_LINK} up",
        f"link add {BRIDGE} type bridge",
        f"addr add {NODE_ADDRESS}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
        # Never used as such: kube-proxy's rules change the destination, but a packet without any route does not come so far.
        f"route add {SERVICE_NETWORK} dev {BRIDGE}",
    ):
        inside.call(["ip", *line.split()])
    for setting in ("net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1"):
        inside.call(["sysctl", "-q", "-w", setting])
    CNI.mkdir()
    plugin = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_NETWORK}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    document = {"cniVersion": "0.4.0", "name": "rig", "plugins": [plugin]}
    (CNI / "10-bridge.conflist").write_text(json.dumps(document), encoding="ascii")


def remove() -> None:
    """Take the wire away; all else went with the namespaces."""
    with contextlib.suppress(RigError):  # the kernel may have been quicker
        call(["ip", "link", "del", HOST_LINK])


def dropped() -> list[Dropped]:
    """What the guard counted since the rig came up.

    Raises:
        RigError: the rig is not up.
    """
    found = json.loads(call([*namespaces.enter(), "nft", "-j", "list", "table", "inet", TABLE]))
    rules = [item["rule"] for item in found["nftables"] if "rule" in item]
    return [
        Dropped(rule["comment"], part["counter"]["packets"])
        for rule in rules
        for part in rule["expr"]
        if "counter" in part
    ]
