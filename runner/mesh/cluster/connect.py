"""Which cluster: a kubeconfig's context, or the one that this very process runs in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubernetes.client import Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.config.kube_config import KubeConfigMerger
from yaml import YAMLError

from runner.errors import InputError, MeshError, Problem
from runner.mesh.cluster.api import Api
from runner.yamlfile.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.mesh.cluster.identity import Identity

IN_CLUSTER = "(in-cluster)"
_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def kubeconfig_files() -> list[Path]:
    """The kubeconfig files that there are: those of $KUBECONFIG, else `~/.kube/config`."""
    named = os.environ.get("KUBECONFIG")
    paths = named.split(os.pathsep) if named else [str(Path.home() / ".kube" / "config")]
    return [path for path in (Path(name).expanduser() for name in paths if name) if path.is_file()]


def connect(context: str | None) -> Api:
    """The API server of a context (the current one when None); inside a pod without a kubeconfig, the pod's own cluster.

    Nothing is asked of it yet.

    Raises:
        InputError: there is no kubeconfig, or no such context in it.
        MeshError: the kubeconfig can't be used.
    """
    files = kubeconfig_files()
    if not files and os.environ.get("KUBERNETES_SERVICE_HOST") and _TOKEN.is_file() and context in {None, IN_CLUSTER}:
        return _in_cluster()
    if not files:
        wanted = os.environ.get("KUBECONFIG")
        raise InputError(
            Problem(
                f"there is no kubeconfig: KUBECONFIG names {wanted}, which is not there"
                if wanted
                else "there is no kubeconfig: KUBECONFIG is not set and ~/.kube/config is not there",
                expected="a kubeconfig, as kubectl uses it",
            )
        )
    shown = os.pathsep.join(map(str, files))
    try:
        known, current = _contexts(files)
        name = context or current
        if name is None:
            raise InputError(
                Problem(
                    f"{shown} has no current context",
                    expected="a context: " + ", ".join(known),
                    suggestion="Use --context",
                )
            )
        if name not in known:
            expected = "one of " + ", ".join(known) if known else "a context, and it has none"
            raise InputError(Problem(f'{shown} has no context "{name}"', None, expected, suggest(name, known)))
        configuration = Configuration()
        load_kube_config(config_file=shown, context=name, client_configuration=configuration, persist_config=False)
    except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError, YAMLError) as error:
        raise MeshError(
            f"the kubeconfig {shown} can't be used: {' '.join(str(error).split())}",
            advice="See whether kubectl can use it",
        ) from None
    return Api(configuration, name)


def _contexts(files: Sequence[Path]) -> tuple[list[str], str | None]:
    merged: Any = KubeConfigMerger(os.pathsep.join(map(str, files))).config
    if merged is None:
        return [], None
    data = merged.value
    names = [str(item["name"]) for item in data.get("contexts") or []]
    return names, data.get("current-context") or None


def _in_cluster() -> Api:
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException as error:
        raise MeshError(f"this pod's own service account can't be used: {error}") from None
    return Api(configuration, IN_CLUSTER)


def reconnect(wanted: Identity) -> Api:
    """The cluster that a dead run worked on.

    Raises:
        MeshError: it can't be reached from here.
    """
    left = f"a dead run left something in {wanted.namespace} of the cluster at {wanted.server}"
    advice = "Set KUBECONFIG to the kubeconfig that the run had, and run `meshtrial recover` again"
    try:
        api = connect(wanted.context)
    except InputError as error:
        raise MeshError(f"{left}, and that cluster can't be reached: {error}", advice=advice) from None
    if api.server != wanted.server:
        raise MeshError(f"{left}, but the context {wanted.context} leads to {api.server}", advice=advice)
    return api
