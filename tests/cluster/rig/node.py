"""The node: containerd, kubelet, kube-proxy and the two controllers, in the rig's namespaces and a control group of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.rig.builds import kubernetes_binary
from tests.cluster.rig.network import CNI
from tests.cluster.rig.places import (
    CACHE,
    CGROUP,
    CONTAINERD,
    DNS_SERVICE,
    HOME,
    NODE,
    NODE_ADDRESS,
    POD_NETWORK,
)
from tests.cluster.rig.processes import RigError, call, locked

if TYPE_CHECKING:
    from tests.cluster.rig.control import ControlPlane

_CGROUPS = Path("/sys/fs/cgroup")
_PATIENCE = 20.0
_STORE = HOME / "containerd" / "root"

_CONTAINERD = f"""
version = 2
root = "{_STORE}"
state = "{HOME}/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
  # Without CAP_SYS_RESOURCE a lower oom_score_adj than one's own is refused, and pods would not start.
  restrict_oom_score_adj = true
  sandbox_image = "docker.io/local/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{CNI}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


@dataclass(frozen=True, slots=True)
class Node:
    """The one node.

    Attributes:
        control: its control plane.
    """

    control: ControlPlane

    def start_containerd(self) -> None:
        """Start containerd and wait until it answers.

        Raises:
            RigError: it did not start.
        """
        config = HOME / "containerd.toml"
        config.write_text(_CONTAINERD, encoding="ascii")
        processes = self.control.processes
        processes.start("containerd", ["containerd", "--config", str(config)])
        processes.wait("containerd", self._containerd_answers)

    def load(self, archive: Path) -> None:
        """Start containerd with the images of an archive, from a kept store of it when there is one.

        Raises:
            RigError: containerd did not start, or refused them.
        """
        kept = CACHE / f"containerd-{archive.stem}"
        with locked(CACHE / ".containerd.lock"):
            if kept.exists():
                _copy_store(kept, _STORE)
            else:
                self.start_containerd()
                self._ctr("images", "import", str(archive))
                self.control.processes.stop("containerd")
                for old in CACHE.glob("containerd-*"):
                    shutil.rmtree(old, ignore_errors=True)
                part = CACHE / "containerd.part"
                shutil.rmtree(part, ignore_errors=True)
                _copy_store(_STORE, part)
                part.rename(kept)
        self.start_containerd()

    def load_more(self, archive: Path) -> None:
        """Import images that are above those of `load`.

        Raises:
            RigError: containerd refused them.
        """
        self._ctr("images", "import", str(archive))

    def start(self) -> None:
        """Start all else, and return when the node is ready.

        Raises:
            RigError: a part did not start, or the node is not ready in time.
        """
        for name, subject in (
            ("kube-controller-manager", "/CN=system:kube-controller-manager"),
            ("kube-scheduler", "/CN=system:kube-scheduler"),
            ("kube-proxy", "/CN=system:kube-proxy"),
        ):
            self._identify(name, subject)
        self._identify("kubelet", f"/O=system:nodes/CN=system:node:{NODE}", [f"IP:{NODE_ADDRESS}", f"DNS:{NODE}"])
        self._start_controllers()
        self._start_kubelet()
        self._run("kube-proxy", self._proxy_config())
        deadline = time.monotonic() + 60
        while "True" not in self._readiness():
            if time.monotonic() > deadline:
                raise RigError(f"the node is not ready; kubelet says:\n{self.control.processes.tail('kubelet')}")
            time.sleep(0.2)

    def _readiness(self) -> str:
        query = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
        return self.control.kubectl("get", "nodes", "-o", query)

    def _start_controllers(self) -> None:
        pki = HOME / "pki"
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={HOME}/kube-controller-manager.conf",
            "--leader-elect=false",
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--use-service-account-credentials=true",
            f"--authentication-kubeconfig={HOME}/kube-controller-manager.conf",
            f"--authorization-kubeconfig={HOME}/kube-controller-manager.conf",
            "--bind-address=127.0.0.1",
        )
        self._run(
            "kube-scheduler",
            f"--kubeconfig={HOME}/kube-scheduler.conf",
            f"--authentication-kubeconfig={HOME}/kube-scheduler.conf",
            f"--authorization-kubeconfig={HOME}/kube-scheduler.conf",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        )

    def _start_kubelet(self) -> None:
        create_cgroups()
        pki = HOME / "pki"
        resolv = HOME / "resolv.conf"
        resolv.write_text(f"nameserver {DNS_SERVICE}\n", encoding="ascii")
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_ADDRESS,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{CGROUP}",
            "failSwapOn": False,
            "failCgroupV1": False,
            "clusterDNS": [DNS_SERVICE],
            "clusterDomain": "cluster.local",
            "tlsCertFile": f"{pki}/kubelet.crt",
            "tlsPrivateKeyFile": f"{pki}/kubelet.key",
            "resolvConf": str(resolv),
            "podLogsDir": str(HOME / "pod-logs"),
            "evictionHard": {"memory.available": "100Mi"},
            "makeIPTablesUtilChains": False,
            "imageGCHighThresholdPercent": 100,  # an image that was removed could not be pulled again
            "maxPods": 200,
            "registryPullQPS": 0,
            "serializeImagePulls": False,
        }
        path = HOME / "kubelet.json"
        path.write_text(json.dumps(config, indent=1), encoding="ascii")
        self._run(
            "kubelet",
            f"--config={path}",
            f"--kubeconfig={HOME}/kubelet.conf",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
            f"--root-dir={HOME}/kubelet",
        )

    def _proxy_config(self) -> str:
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": NODE,
            "clusterCIDR": POD_NETWORK,
            "clientConnection": {"kubeconfig": f"{HOME}/kube-proxy.conf"},
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
        }
        path = HOME / "kube-proxy.json"
        path.write_text(json.dumps(config, indent=1), encoding="ascii")
        return f"--config={path}"

    def _identify(self, name: str, subject: str, addresses: list[str] | None = None) -> None:
        self.control.authority.sign(name, subject, addresses or ())
        self.control.authority.kubeconfig(name, self.control.server, HOME / f"{name}.conf")

    def _run(self, name: str, *arguments: str) -> None:
        self.control.processes.start(name, [str(kubernetes_binary()), name, *arguments])

    def _containerd_answers(self) -> bool:
        try:
            self._ctr("version")
        except RigError:
            return False
        return True

    def _ctr(self, *arguments: str) -> None:
        self.control.processes.call(["ctr", "--address", str(CONTAINERD), "--namespace", "k8s.io", *arguments])


def _copy_store(source: Path, target: Path) -> None:
    """Copy containerd's store: content and layers are never written again and are linked, its indices are copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        call(["cp", "-al", str(source), str(target)])
    except RigError:  # another file system
        shutil.rmtree(target, ignore_errors=True)
        call(["cp", "-a", str(source), str(target)])
        return
    for index in source.rglob("*.db"):
        copy = target / index.relative_to(source)
        copy.unlink()
        shutil.copy2(index, copy)


def create_cgroups() -> None:
    """Make the pods' control group in every hierarchy.

    Raises:
        OSError: it can't be made.
    """
    for hierarchy in _hierarchies():
        group = hierarchy / CGROUP
        group.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (group / name).exists():
                (group / name).write_text((hierarchy / name).read_text(encoding="ascii"), encoding="ascii")


def remove_cgroups() -> None:
    """Remove it with all pods' groups, which are empty once their processes are dead.

    Raises:
        RigError: one is still in use.
    """
    deadline = time.monotonic() + _PATIENCE
    while left := groups():
        if time.monotonic() > deadline:
            raise RigError(f"the control group {left[0]} can't be removed")
        for group in left:
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()


def groups() -> list[Path]:
    """The pods' control groups that exist."""
    return [hierarchy / CGROUP for hierarchy in _hierarchies() if (hierarchy / CGROUP).is_dir()]


def _hierarchies() -> list[Path]:
    """Each mounted hierarchy once: under cgroup v1 a folder per controller, of which some are links."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [folder for folder in sorted(_CGROUPS.iterdir()) if folder.is_dir() and not folder.is_symlink()]
