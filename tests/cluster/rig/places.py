"""Where the rig keeps things, and the addresses that it uses: one page to look at when something is in the way."""

from __future__ import annotations

import os
from pathlib import Path

KUBERNETES = "1.34.4"
ISTIO = "1.31.0"
ISTIO_MODULE = "v0.0.0-20260827124520-eed52ebb66ad"
FORTIO = "1.68.0"

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshtrial" / "rig"
"""What takes long to build, kept between runs."""
BIN = CACHE / "bin"
FILES = Path(__file__).parent / "files"
REPOSITORY = Path(__file__).resolve().parents[3]

NUMBER = int(os.environ.get("MESHTRIAL_RIG_NUMBER") or 0)
"""Which of up to sixteen rigs this is: several can be up beside each other."""
_MARK = str(NUMBER or "")

HOME = Path(f"/var/lib/meshtrial-rig{_MARK}")
"""What a running rig writes; gone after `down`."""
LOCK = Path(f"/run/lock/meshtrial-rig{_MARK}")
KUBECONFIG = HOME / "kubeconfig"
CONTAINERD = HOME / "containerd.sock"

CGROUP = f"meshtrial-rig{_MARK}"
"""The control group that holds all pods, in each hierarchy."""

_THIRD = 16 * NUMBER
NETWORK = f"198.18.{_THIRD}.0/20"
"""All of the rig's addresses, from the range that RFC 2544 sets aside for benchmarks of networks: no real network is hidden."""
POD_NETWORK = f"198.18.{_THIRD}.0/24"
SERVICE_NETWORK = f"198.18.{_THIRD + 8}.0/21"
API_SERVICE = f"198.18.{_THIRD + 8}.1"
DNS_SERVICE = f"198.18.{_THIRD + 8}.10"
API_PORT = 16443
ETCD_PORT = 12379

BRIDGE = "rig0"
NODE = "node1"
NODE_ADDRESS = f"198.18.{_THIRD}.1"

HOST_LINK = f"rig-host{_MARK}"
"""The machine's end of the only wire into the rig."""
NODE_LINK = f"rig-node{_MARK}"
HOST_ADDRESS = f"198.18.{_THIRD + 1}.1"
LINK_ADDRESS = f"198.18.{_THIRD + 1}.2"
