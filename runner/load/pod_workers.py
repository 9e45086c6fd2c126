"""Workers in pods of a cluster: each is started by a command that reaches into its pod, and talks to the master through it.

The master is on this machine, beside the driver, and no worker has to reach it: the command carries the worker's connection, bytes over
the API server's own, so Locust's traffic (which is neither encrypted nor authenticated) never crosses a network on its own.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from runner import __version__
from runner.errors import DriverError, InputError, Problem
from runner.load import wire
from runner.load.aboard import BOARD, OTHER_VERSION, Boarding, there
from runner.load.cargo import pack
from runner.load.crew import StartedWorkers
from runner.load.environment import CLOCKS_VARIABLE, EXPERIMENT_VARIABLE, LOADFILE_VARIABLE, TICKET_VARIABLE
from runner.load.loadfile_errors import tail
from runner.load.locust_arguments import option_arguments

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from runner.spec.load_profile import LocustLoad, Tls

PORT = "{port}"
"""Stands in a command that reaches into a pod for the port of this machine that its connection goes to."""
_ROOTS = "/tmp/meshtrial-"  # noqa: S108 - of the pod, which is ours alone
_POD = re.compile(r"--pod=(\S+)")


class PodWorkers(StartedWorkers):
    """`workers: N` on a cluster.

    Attributes:
        image: what the pods run, for messages; set before `begin`.
    """

    later = True

    def __init__(
        self,
        load: LocustLoad,
        file: Path,
        logs: Path,
        *,
        experiment: Path | None = None,
        tls: Tls | None = None,
        variables: Collection[str] = (),
    ) -> None:
        """Make a crew whose pods are not there yet.

        Args:
            load: the file and how to run it.
            file: the same, absolute.
            logs: the folder for what workers say.
            experiment: the experiment's file, whose folder is sent along.
            tls: whose files are sent along.
            variables: environment variables that are sent along, beside Locust's.

        Raises:
            InputError: there is too much to send.
        """
        super().__init__(load.workers if isinstance(load.workers, int) else 1, logs)
        self._load = load
        self._file = file
        self._experiment = experiment
        self._variables = frozenset(variables)
        self._roots = _ROOTS + secrets.token_hex(6)
        self._commands: list[tuple[str, ...]] = []
        self.image = ""
        files = [path.absolute() for path in (tls.ca, tls.certificate, tls.key) if path] if tls else []
        folders = [file.parent, *([experiment.absolute().parent] if experiment else [])]
        self._cargo = pack(_outermost(folders), files)

    def master_environ(self) -> dict[str, str]:
        """What the master's environment needs besides."""
        return {**super().master_environ(), CLOCKS_VARIABLE: "1"}

    def board(self, commands: Sequence[tuple[str, ...]]) -> None:
        """Told what reaches into each pod: a command line to be put before the one that is to run there."""
        self._commands = list(commands)

    def path_there(self, peer: int, path: str) -> str:
        """Where a file of this machine lies in a worker's pod."""
        return there(self._root(self._number_of(peer)), Path(path))

    def _root(self, number: int) -> str:
        """The folder that a worker's files lie below: one for each, for pods may share what their `/tmp` is."""
        return f"{self._roots}-{number}"

    def begin(self, port: int, environ: Mapping[str, str]) -> None:
        """Start a worker in each pod.

        Raises:
            StorageError: a log can't be written.
            DriverError: a process can't be started.
        """
        for number, command in enumerate(self._commands, 1):
            root = self._root(number)
            head = Boarding(
                version=__version__,
                root=root,
                file=str(self._file),
                cwd=str(Path.cwd()),
                arguments=option_arguments(self._load),
                environ=self._environ(environ, root),
                size=len(self._cargo),
            )
            words = [word.replace(PORT, str(port)) for word in command]
            process = self._start(number, [*words, *BOARD], environ, parcel=True)
            parcel = head.line() + self._cargo
            threading.Thread(target=_hand_over, args=(process, parcel), name="boarding", daemon=True).start()

    def _environ(self, environ: Mapping[str, str], root: str) -> dict[str, str]:
        """What of this machine's environment a load file has in a pod: Locust's own variables and declared ones, not all there is."""
        found = {key: value for key, value in environ.items() if key.startswith("LOCUST_") or key in self._variables}
        found |= {TICKET_VARIABLE: self._ticket, LOADFILE_VARIABLE: there(root, self._file)}
        if self._experiment is not None:
            found[EXPERIMENT_VARIABLE] = there(root, self._experiment.absolute())
        return found

    def see(self, messages: Iterable[tuple[int, wire.Message]]) -> None:
        """Take what concerns the workers themselves, and look whether all live."""
        taken = list(messages)
        for _, message in taken:
            if isinstance(message, wire.Unfit):
                raise InputError(Problem(f"{message.reason} (image {self.image})", suggestion=_REBUILD))
        super().see(taken)

    def _ended(self, number: int, code: int) -> InputError | DriverError:
        if code == OTHER_VERSION:
            return InputError(Problem(f"{self._last(number)} (image {self.image})", suggestion=_REBUILD))
        return super()._ended(number, code)

    def _called(self, number: int) -> str:
        return f"worker {number} of {self.number} ({self._pod(number)})"

    def missing(self, joined: int) -> DriverError:
        """The error when fewer than `number` have come."""
        return DriverError(
            f"{joined} of {self.number} Locust workers were up in their pods after {self.patience:.0f} s{self._told(1)}"
        )

    def log_of(self, peer: int) -> str:
        """The end of a worker's log; they come in another order than they were started in."""
        number = self._number_of(peer)
        return self._told(number) if number else ""

    def _number_of(self, peer: int) -> int:
        """Which of the commands started a worker, from 1; 0 when it has not said its name."""
        name = self._names.get(peer, "")
        numbers = range(1, len(self._processes) + 1)
        return next((number for number in numbers if name.startswith(f"{self._pod(number)},")), 0)

    def _pod(self, number: int) -> str:
        found = _POD.search(" ".join(self._commands[number - 1]))
        return found[1] if found else f"pod {number}"

    def _last(self, number: int) -> str:
        lines = tail(self._log(number).read_text(errors="replace")).splitlines()
        return lines[-1] if lines else "this image holds another version of Meshtrial"


_REBUILD = (
    "Build the image from this version (docker build -f deploy/Dockerfile), and name it: mesh.cluster.generators.image"
)


def _outermost(folders: Iterable[Path]) -> list[Path]:
    """Folders without those that lie in others."""
    found = {folder.resolve() for folder in folders} | set(folders)
    return sorted(folder for folder in found if not any(other in folder.parents for other in found if other != folder))


def _hand_over(process: subprocess.Popen[bytes], parcel: bytes) -> None:
    """Send what a worker needs; the pipe stays open, since its end is the end of the run."""
    if process.stdin:
        with contextlib.suppress(OSError, ValueError):
            process.stdin.write(parcel)
            process.stdin.flush()
