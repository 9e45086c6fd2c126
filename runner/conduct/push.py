"""Run folders into an object store, when they are finished: a copy, nothing else; the folder on disk stays what reports are made of.

Why obstore (an optional extra, `pip install 'meshtrial[push]'`): one package without dependencies for S3, GCS, Azure and folders,
with retries, multipart uploads and each store's own credentials from the environment; boto3 is S3 alone and brings six packages,
s3fs brings aiobotocore with its own pinned botocore. A results folder that is the store itself would not do: a run must leave a
readable folder whatever dies, and append to its log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.errors import InputError, Problem, StorageError
from runner.results.store import LOG_FILE, RUN_FILE, TRIALS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMES = ("s3", "gs", "az", "file")
_ADVICE = (
    "See whether the store's own tools can write there (credentials, region and endpoint come from the environment)"
)


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push came to.

    Attributes:
        sent: keys of files that were sent.
        there: how many files were there already.
    """

    sent: tuple[str, ...]
    there: int


def push(folder: Path, url: str) -> Pushed:
    """Copy a run folder, or all that a results folder holds, below a URL.

    A file that is there already, as long and not older, is not sent again. A run's `run.json` goes last: where it is, the run is whole.

    Args:
        folder: a run folder, which keeps its `EXPERIMENT/RUN` below the URL, or a results folder.
        url: `s3://bucket/prefix`, `gs://...`, `az://...` or `file:///...`.

    Raises:
        InputError: there is no such folder, or the URL is none of these.
        StorageError: the store can't be written, or the package for it is not installed.
    """
    if not folder.is_dir():
        raise InputError(Problem(f"{folder} is no folder", expected="a run folder, or a results folder"))
    store = _open(url)
    from obstore import list as list_objects  # noqa: PLC0415 - an optional extra
    from obstore import put  # noqa: PLC0415 - the same
    from obstore.exceptions import BaseError  # noqa: PLC0415 - the same

    sent: list[str] = []
    there = 0
    files = dict(_files(folder))
    try:
        known = {item["path"]: item for batch in list_objects(store, _common(files)) for item in batch}
        for key, path in files.items():
            if _is_current(known.get(key), path):
                there += 1
                continue
            put(store, key, path)
            sent.append(key)
    except (BaseError, OSError, ValueError) as error:
        raise StorageError(f"{url} can't be written: {_words(error)}", advice=_ADVICE) from None
    return Pushed(tuple(sent), there)


def _open(url: str) -> Any:
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES or "://" not in url:
        raise InputError(
            Problem(f'"{url}" is no place for results', expected=f"a URL that begins with one of {', '.join(SCHEMES)}")
        )
    try:
        from obstore.store import from_url  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise StorageError(
            "the package obstore is not installed", advice="pip install 'meshtrial[push]' (the image has it)"
        ) from None
    retries: dict[str, Any] = {"max_retries": 4}
    try:
        return from_url(url, mkdir=True) if scheme == "file" else from_url(url, retry_config=retries)
    except Exception as error:  # noqa: BLE001 - obstore's own error classes and ValueError, for any URL that it can't read
        raise InputError(Problem(f'"{url}" can\'t be used: {_words(error)}')) from None


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file by its key, `run.json` last of its folder."""
    folder = folder.resolve()
    is_run = any((folder / name).exists() for name in (RUN_FILE, LOG_FILE, TRIALS))
    base = folder.parent.parent if is_run else folder
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    for path in sorted(paths, key=lambda item: (item.name == RUN_FILE, item)):
        yield path.relative_to(base).as_posix(), path


def _is_current(there: Any, path: Path) -> bool:
    """Whether what the store has under a file's key is as long as the file, and not older."""
    state = path.stat()
    return bool(there and there["size"] == state.st_size and there["last_modified"].timestamp() >= state.st_mtime)


def _common(files: dict[str, Path]) -> str | None:
    """The folder that all keys are in, so that a large bucket is not listed whole; None for the URL itself."""
    tops = {key.rpartition("/")[0] for key in files}
    if not tops:
        return None
    parts: list[str] = []
    for level in zip(*(top.split("/") for top in tops), strict=False):
        if len(set(level)) > 1:
            break
        parts.append(level[0])
    return "/".join(parts) or None


def _words(error: Exception) -> str:
    """The store's own first sentence; the rest is a dump of its internals."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
