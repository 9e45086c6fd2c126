"""A /24 of loopback addresses for each embedded mesh, so that several can run at once without asking each other.

A bound socket is the claim: the kernel lets one process have it, and takes it back however that process dies.
"""

from __future__ import annotations

import errno
import random
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import MeshError

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLAIM_PORT = 15999
_TRIES = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """A /24 that is ours as long as `guard` (or a copy of its file descriptor) stays open."""

    prefix: str
    guard: socket.socket


def claim_network() -> Claim:
    """Find a /24 in 127.64.0.0/10 that no other embedded mesh has.

    Raises:
        MeshError: two hundred were tried and none was free, which means that loopback addresses can't be used here.
    """
    dice = random.SystemRandom()
    reason = ""
    for _ in range(_TRIES):
        prefix = f"127.{dice.randrange(64, 128)}.{dice.randrange(0, 256)}"
        guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            guard.bind((f"{prefix}.1", _CLAIM_PORT))
        except OSError as error:
            guard.close()
            reason = error.strerror or str(error)
            continue
        return Claim(prefix, guard)
    raise MeshError(
        f"no free loopback network was found ({reason})",
        advice="The embedded mesh needs Linux, where all of 127.0.0.0/8 is local",
    )


def check_free(endpoints: Iterable[tuple[str, int]]) -> None:
    """Make sure that every address and port can be bound.

    Raises:
        MeshError: one is taken; says which, and by whom when that can be seen.
    """
    for address, port in endpoints:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((address, port))
            except OSError as error:
                advice = f"End the program that listens on 0.0.0.0:{port}, or have it listen on 127.0.0.1 only"
                if error.errno == errno.EACCES:
                    advice = "Ports below 1024 need root: give the container another port in the app's manifests"
                raise MeshError(
                    f"port {port} at {address} can't be used ({error.strerror}){_holder(port)}", advice=advice
                ) from None


def _holder(port: int) -> str:
    import psutil  # noqa: PLC0415 - needed for this message alone

    try:
        for connection in psutil.net_connections("inet"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                name = psutil.Process(connection.pid).name() if connection.pid else "another user's program"
                return f": {name} (process {connection.pid}) listens on {connection.laddr.ip}:{port}"
    except psutil.Error:
        pass
    return ""
