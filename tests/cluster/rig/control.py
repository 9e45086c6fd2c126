"""The part of Kubernetes that needs no node: etcd and the apiserver. Enough for whatever only reads and writes objects."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.cluster.rig.builds import kubernetes_binary
from tests.cluster.rig.certificates import Authority
from tests.cluster.rig.places import API_PORT, API_SERVICE, ETCD_PORT, SERVICE_NETWORK
from tests.cluster.rig.processes import Processes, call

if TYPE_CHECKING:
    from pathlib import Path

_ANSWERED = 200


@dataclass(slots=True)
class ControlPlane:
    """etcd and kube-apiserver of one folder.

    Attributes:
        folder: certificates, data, logs, and `kubeconfig`.
        address: where the apiserver is reached, also by nodes.
        port: of the apiserver.
        etcd: etcd's port; its peers' is the next one.
        enter: the command that enters the namespaces which both live in.
    """

    folder: Path
    address: str = "127.0.0.1"
    port: int = API_PORT
    etcd: int = ETCD_PORT
    enter: tuple[str, ...] = ()
    processes: Processes = field(init=False)
    authority: Authority = field(init=False)

    def __post_init__(self) -> None:
        self.processes = Processes(self.folder / "processes", self.enter)
        self.authority = Authority(self.folder / "pki")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "kubeconfig"

    @property
    def server(self) -> str:
        """The apiserver's URL on this machine."""
        return f"https://{self.address}:{self.port}"

    def start(self) -> None:
        """Start both and wait until they are ready.

        Raises:
            RigError: one of them did not start.
        """
        if not self.kubeconfig.exists():
            self._certify()
        self.start_etcd()
        self.start_apiserver()

    def start_apiserver(self) -> None:
        """Start the apiserver alone, as after `processes.stop("kube-apiserver")`.

        Raises:
            RigError: it did not start.
        """
        pki = self.folder / "pki"
        loopback = self.address.startswith("127.")
        self.processes.start(
            "kube-apiserver",
            [
                str(kubernetes_binary()),
                "kube-apiserver",
                f"--etcd-servers=http://127.0.0.1:{self.etcd}",
                f"--bind-address={'127.0.0.1' if loopback else '0.0.0.0'}",  # noqa: S104 - of namespaces without a way out
                *([] if loopback else [f"--advertise-address={self.address}"]),
                *(["--endpoint-reconciler-type=none"] if loopback else []),
                f"--secure-port={self.port}",
                f"--tls-cert-file={pki}/apiserver.crt",
                f"--tls-private-key-file={pki}/apiserver.key",
                f"--client-ca-file={pki}/ca.crt",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={pki}/sa.pub",
                f"--service-account-signing-key-file={pki}/sa.key",
                f"--service-cluster-ip-range={SERVICE_NETWORK}",
                "--authorization-mode=Node,RBAC",
                "--allow-privileged=true",
                f"--kubelet-client-certificate={pki}/apiserver.crt",
                f"--kubelet-client-key={pki}/apiserver.key",
                f"--kubelet-certificate-authority={pki}/ca.crt",
                "--kubelet-preferred-address-types=InternalIP",  # names of nodes are in no DNS
                f"--cert-dir={pki}",
                "--feature-gates=SizeBasedListCostEstimate=false",  # asks etcd for what only 3.4.25 and later can tell
            ],
        )
        self.processes.wait("kube-apiserver", self.ready)

    def stop(self) -> None:
        """End both."""
        for name in ("kube-apiserver", "etcd"):
            self.processes.stop(name)

    def kubectl(self, *arguments: str, data: bytes | None = None) -> str:
        """Run kubectl as the administrator; what it printed.

        Raises:
            RigError: it failed.
        """
        return call([str(kubernetes_binary()), "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments], data=data)

    def ready(self) -> bool:
        """Whether the apiserver says that it is."""
        context = ssl.create_default_context(cafile=str(self.folder / "pki" / "ca.crt"))
        context.load_cert_chain(self.folder / "pki" / "admin.crt", self.folder / "pki" / "admin.key")
        connection = http.client.HTTPSConnection(self.address, self.port, timeout=2, context=context)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == _ANSWERED
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _certify(self) -> None:
        authority = self.authority
        authority.create()
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        addresses = [f"DNS:{name}" for name in names]
        addresses += [f"IP:{address}" for address in dict.fromkeys(("127.0.0.1", self.address, API_SERVICE))]
        authority.sign("apiserver", "/O=system:masters/CN=kube-apiserver", addresses)
        authority.sign("admin", "/O=system:masters/CN=admin")
        authority.kubeconfig("admin", self.server, self.kubeconfig)

    def start_etcd(self) -> None:
        """Start etcd alone; the apiserver waits for it.

        Raises:
            RigError: it did not start.
        """
        here, peers = f"http://127.0.0.1:{self.etcd}", f"http://127.0.0.1:{self.etcd + 1}"
        self.processes.start(
            "etcd",
            [
                "etcd",
                "--name=rig",
                f"--data-dir={self.folder / 'etcd'}",
                "--unsafe-no-fsync",  # nothing here is worth a sync
                f"--listen-client-urls={here}",
                f"--advertise-client-urls={here}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=rig={peers}",
            ],
        )
