"""The folder of one embedded mesh: who lives where, what is applied, and whether its supervisor still runs.

Everything that another command needs to join the mesh is here; the folder goes when the mesh goes. It lies under
`$XDG_STATE_HOME/meshtrial/meshes`, so that every shell of a user finds the same meshes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import MeshError
from runner.istio.record import record_of, resource_from_record
from runner.mesh.local.supervisor import DEATHS, LOCK
from runner.mesh.local.topology import Pod, Topology
from runner.state import is_locked, meshes_home

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.istio.resource import Resource

_RECORD = "mesh.json"
_APPLIED = "applied.json"
_USE = "use.lock"


@dataclass(frozen=True, slots=True)
class Death:
    """A process of the mesh that ended by itself."""

    name: str
    how: str
    time: float


@dataclass(frozen=True, slots=True)
class Instance:
    """One embedded mesh on this machine."""

    folder: Path
    topology: Topology
    app_file: str
    front: str
    envoy: str
    owned: bool
    """Whether it ends with the command that started it."""

    @property
    def identity(self) -> str:
        """The name that no other mesh of this user has."""
        return self.folder.name

    def save(self) -> None:
        """Write the record that `read` reads."""
        record = {
            "topology": asdict(self.topology),
            "app_file": self.app_file,
            "front": self.front,
            "envoy": self.envoy,
            "owned": self.owned,
        }
        write_atomically(self.folder / _RECORD, json.dumps(record))

    @classmethod
    def read(cls, folder: Path) -> Instance:
        """The instance in `folder`.

        Raises:
            OSError: there is none.
        """
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        pods = tuple(Pod(**{**pod, "ports": tuple(pod["ports"])}) for pod in record["topology"]["pods"])
        topology = Topology(record["topology"]["app"], pods)
        return cls(folder, topology, record["app_file"], record["front"], record["envoy"], record["owned"])

    def runs(self, app_file: Path) -> bool:
        """Whether this mesh was started from that app file."""
        return Path(self.app_file).resolve() == app_file.resolve()

    def lives(self) -> bool:
        """Whether the supervisor runs (it holds a lock as long as it does)."""
        return is_locked(self.folder / LOCK)

    def deaths(self) -> list[Death]:
        """Processes that ended by themselves so far."""
        try:
            lines = (self.folder / DEATHS).read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        return [Death(**json.loads(line)) for line in lines]

    def applied(self) -> list[Resource] | None:
        """What the mesh was last told to hold, in the order it was applied; None when that was never noted."""
        try:
            text = (self.folder / _APPLIED).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return [resource_from_record(record) for record in json.loads(text)]

    def save_applied(self, resources: Sequence[Resource]) -> None:
        """Remember what the mesh holds."""
        write_atomically(self.folder / _APPLIED, json.dumps([record_of(resource) for resource in resources]))

    @contextlib.contextmanager
    def in_use(self, who: str) -> Iterator[None]:
        """Hold the right to change this mesh.

        Raises:
            MeshError: another command holds it; says which.
        """
        path = self.folder / _USE
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = path.read_text(encoding="utf-8").strip() or "another command"
                other = "" if who.startswith("meshtrial mesh ") else ", or use --fresh to have a mesh of your own"
                raise MeshError(f"the mesh is in use by {holder}", advice=f"Wait for it to end{other}") from None
            os.ftruncate(lock, 0)
            os.write(lock, f"{who} (process {os.getpid()})".encode())
            yield
        finally:
            os.close(lock)


def living_instances() -> list[Instance]:
    """All embedded meshes of this user that run, oldest first; the remains of dead ones are removed."""
    found = []
    try:
        folders = sorted(meshes_home().iterdir(), key=lambda folder: folder.stat().st_mtime)
    except OSError:
        return []
    for folder in folders:
        try:
            instance = Instance.read(folder)
        except (OSError, ValueError, KeyError, TypeError):
            _remove_wreck(folder)
            continue
        if instance.lives():
            found.append(instance)
        elif not is_locked(folder / _USE):
            shutil.rmtree(folder, ignore_errors=True)
    return found


def _remove_wreck(folder: Path) -> None:
    """Remove what is left of a mesh whose start or end was cut off, unless somebody is at it right now."""
    if (folder / _USE).exists() and not is_locked(folder / _USE) and not is_locked(folder / LOCK):
        shutil.rmtree(folder, ignore_errors=True)


def standing_instance(app_file: Path | None = None) -> Instance | None:
    """The mesh that `mesh up` left running last, of an app file or of any."""
    standing = [item for item in living_instances() if not item.owned and (app_file is None or item.runs(app_file))]
    return standing[-1] if standing else None


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content in one step: whoever reads it sees the old text or the new one, whole."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
