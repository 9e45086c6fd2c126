"""A command in a container as a program of this machine: `python -m runner.mesh.cluster.remote ... -- COMMAND`, as `kubectl exec -i`.

A driver puts it before its generator's command line, and the load leaves from that pod's sidecar. Its standard streams are the
command's; when its own standard input ends (the driver closed it, or died of anything), the connection goes, and with it the
command's standard input, by which the driver's guard over there ends the generator.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

from runner.errors import MeshtrialError
from runner.mesh.cluster.connect import connect
from runner.mesh.cluster.tunnel import open_exec

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHUNK = 1 << 16
_LOOK = 0.05
_STDIN, _STDOUT, _STDERR = 0, 1, 2
CUT = 125
"""Exit code when the command's own is not known: the connection was cut."""


def command_line(context: str, namespace: str, pod: str, container: str) -> tuple[str, ...]:
    """What stands before a command line to have it run in a container."""
    here = (sys.executable, "-m", "runner.mesh.cluster.remote")
    return (*here, "--context", context, "--namespace", namespace, "--pod", pod, "--container", container, "--")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, or `CUT`."""
    parser = argparse.ArgumentParser(prog="python -m runner.mesh.cluster.remote", description=__doc__)
    for name in ("context", "namespace", "pod", "container"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    try:
        client = open_exec(connect(given.context), given.namespace, given.pod, given.container, given.command)
    except MeshtrialError as error:
        sys.stderr.write(f"{error}\n")
        return CUT
    return _carry(client)


def _carry(client: Any) -> int:
    """Carry the streams until the command ends, or our own standard input does."""
    typed: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_input, args=(typed,), daemon=True).start()
    try:
        while client.is_open():
            while not typed.empty():
                data = typed.get()
                if not data:
                    return CUT
                client.write_channel(_STDIN, data)
            client.update(timeout=_LOOK)
            _show(client)
        _show(client)
        code = client.returncode
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        sys.stderr.write(f"the connection to the container was cut: {str(error) or type(error).__name__}\n")
        return CUT
    finally:
        client.close()
    return CUT if code is None else int(code)


def _show(client: Any) -> None:
    for channel in (_STDOUT, _STDERR):
        data = client.read_channel(channel, timeout=0)
        while data:
            data = data[os.write(channel, data) :]


def _read_input(typed: queue.SimpleQueue[bytes]) -> None:
    while data := os.read(_STDIN, _CHUNK):
        typed.put(data)
    typed.put(b"")


if __name__ == "__main__":
    sys.exit(main())
