"""CoreDNS and Istio on the rig."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.rig.builds import ISTIOCTL
from tests.cluster.rig.places import DNS_SERVICE, FILES
from tests.cluster.rig.processes import call

if TYPE_CHECKING:
    from tests.cluster.rig.control import ControlPlane


def install(control: ControlPlane) -> None:
    """Install both, and return when they are ready.

    Raises:
        RigError: one is not.
    """
    resolver = (FILES / "coredns.yaml").read_text(encoding="utf-8").replace("DNS_SERVICE", DNS_SERVICE)
    control.kubectl("apply", "-f", "-", data=resolver.encode())
    istioctl(control, "install", "-y", "-f", str(FILES / "istio-operator.yaml"))
    control.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")


def istioctl(control: ControlPlane, *arguments: str) -> str:
    """Run istioctl; what it printed.

    Raises:
        RigError: it failed.
    """
    return call([str(ISTIOCTL.build()), "--kubeconfig", str(control.kubeconfig), *arguments])
