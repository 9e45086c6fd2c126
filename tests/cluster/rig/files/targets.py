"""Keeps Prometheus' list of proxies: Debian's Prometheus is built without discovery by Kubernetes, and reads this file instead."""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVER = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
TARGETS = Path("/targets/targets.json")
PORT = 15090
PERIOD = 1.0


def addresses() -> Iterator[dict[str, object]]:
    """Where every running proxy tells its statistics."""
    request = urllib.request.Request(f"{SERVER}/api/v1/pods?fieldSelector=status.phase=Running")  # noqa: S310 - https, as SERVER says
    request.add_header("Authorization", f"Bearer {(ACCOUNT / 'token').read_text()}")
    context = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    with urllib.request.urlopen(request, context=context, timeout=5) as answer:  # noqa: S310
        pods = json.load(answer)["items"]
    for pod in pods:
        spec = pod["spec"]
        names = [item["name"] for item in spec["containers"] + spec.get("initContainers", [])]
        if "istio-proxy" in names and pod["status"].get("podIP"):
            labels = {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]}
            yield {"targets": [f"{pod['status']['podIP']}:{PORT}"], "labels": labels}


while True:
    try:
        part = TARGETS.with_suffix(".part")
        part.write_text(json.dumps(list(addresses())))
        part.replace(TARGETS)
    except OSError as error:
        print(f"the apiserver can't be asked: {error}", flush=True)
    time.sleep(PERIOD)
