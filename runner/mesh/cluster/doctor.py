"""What `meshtrial doctor` says about a cluster: whether a run can do its part there, and what to do where it can't."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.doctor_checks import check_cluster
from runner.mesh.cluster.doctor_demands import check_demands
from runner.mesh.cluster.doctor_read import read_cluster
from runner.mesh.finding import Finding, Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.mesh.finding import Demands


def examine(context: str | None, namespace: str, demands: Sequence[Demands] = ()) -> list[Finding]:
    """Look at a cluster; nothing in it is changed.

    Args:
        context: kubeconfig context; the current one when None.
        namespace: where the experiments would run.
        demands: what they need.

    Raises:
        InputError: there is no kubeconfig, no such context, or no such namespace.
    """
    try:
        api = connect(context)
    except MeshError as error:
        return [Panel("cluster").problem("kubeconfig", error.what, error.advice or "See whether kubectl can use it")]
    try:
        facts = read_cluster(api, namespace, demands)
    except MeshError as error:
        advice = error.advice or "See whether `kubectl get --raw /readyz` answers"
        return [Panel("cluster").problem("API server", error.what, advice)]
    finally:
        api.close()
    found = check_cluster(facts)
    for item in demands:
        found += check_demands(facts, item, namespace)
    return found
