"""Stands for a pod: runs a command here, its standard streams connected to a port, as runner.mesh.cluster.remote does over exec."""

import os
import selectors
import socket
import subprocess
import sys

VERSION = (
    "import runner, runpy, sys; runner.__version__ = sys.argv.pop(1); "
    "runpy.run_module('runner.load.aboard', run_name='__main__', alter_sys=True)"
)


def main() -> int:
    options = dict(word[2:].split("=", 1) for word in sys.argv[1 : sys.argv.index("--")])
    program, *arguments = sys.argv[sys.argv.index("--") + 1 :]
    assert program == "python3"
    if "version" in options:
        assert arguments == ["-m", "runner.load.aboard", "board"]
        arguments = ["-c", VERSION, options["version"], "board"]
    environ = {"PATH": os.environ["PATH"], "HOME": "/", "HOSTNAME": options["pod"], "LANG": "C.UTF-8"}
    command = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ, bufsize=0
    )
    print(f"inside: {command.pid}", file=sys.stderr, flush=True)
    connection = None
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(command.stdout, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is command.stdout:
                data = os.read(command.stdout.fileno(), 1 << 16)
                if not data:
                    return command.wait()
                if connection is None:
                    connection = socket.create_connection(("127.0.0.1", int(options["port"])))
                    selector.register(connection, selectors.EVENT_READ)
                connection.sendall(data)
            else:
                data = os.read(0, 1 << 16) if key.fileobj == 0 else connection.recv(1 << 16)
                if not data:
                    command.stdin.close()
                    return command.wait()
                command.stdin.write(data)


if __name__ == "__main__":
    sys.exit(main())
