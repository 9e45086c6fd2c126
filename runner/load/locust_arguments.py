"""What Locust is started with, and what must not reach it: its command line and environment are the experiment's."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import InputError, Problem

if TYPE_CHECKING:
    from runner.spec.load_profile import LocustLoad, Tls

PLUGIN = Path(__file__).with_name("locust_plugin.py")

_OURS = {
    "-f": "file",
    "--locustfile": "file",
    "-u": "users",
    "--users": "users",
    "-r": "users",
    "--spawn-rate": "users",
    "-t": "duration",
    "--run-time": "duration",
    "-H": "host",
    "--host": "host",
    "--processes": "processes",
    "--master": "workers",
    "--worker": "workers",
    "--master-bind-host": "master",
    "--master-bind-port": "master",
    "--master-host": "master",
    "--master-port": "master",
    "--expect-workers": "expect",
    "--expect-workers-max-wait": "master",
    "--headless": None,
    "--headful": None,
    "--autostart": None,
    "--autoquit": None,
    "-l": None,
    "--list": None,
    "-h": None,
    "--help": None,
    "-V": None,
    "--version": None,
    "--show-task-ratio": None,
    "--show-task-ratio-json": None,
}
"""Arguments of Locust that the experiment file has a key for, or that would keep it from running."""
OUR_VARIABLES = frozenset(
    {
        "LOCUST_LOCUSTFILE",
        "LOCUST_USERS",
        "LOCUST_SPAWN_RATE",
        "LOCUST_RUN_TIME",
        "LOCUST_HOST",
        "LOCUST_PROCESSES",
        "LOCUST_MODE_MASTER",
        "LOCUST_MODE_WORKER",
        "LOCUST_HEADLESS",
        "LOCUST_HEADFUL",
        "LOCUST_AUTOSTART",
        "LOCUST_AUTOQUIT",
        "LOCUST_TAGS",
        "LOCUST_EXCLUDE_TAGS",
        "LOCUST_USER_CLASSES",
        "LOCUST_CONFIG",
        "LOCUST_SKIP_MONKEY_PATCH",
        "LOCUST_EXPECT_WORKERS",
        "LOCUST_EXPECT_WORKERS_MAX_WAIT",
        "LOCUST_MASTER_BIND_HOST",
        "LOCUST_MASTER_BIND_PORT",
        "LOCUST_MASTER_NODE_HOST",
        "LOCUST_MASTER_NODE_PORT",
    }
)
"""Locust's own variables for those arguments, which must not reach it either."""


def check_file(file: Path) -> None:
    """Raise InputError for a load file that can't be one."""
    if not file.exists():
        raise InputError(Problem(f"the load file {file} does not exist"))
    if not file.is_file() or file.suffix != ".py":
        raise InputError(Problem(f"the load file {file} is no Python file", expected="a file whose name ends in .py"))
    if "," in str(file):
        raise InputError(Problem(f"Locust can't load a file with a comma in its path: {file}"))
    if not os.access(file, os.R_OK):
        raise InputError(Problem(f"the load file {file} can't be read"))


def check_arguments(load: LocustLoad) -> None:
    """Raise InputError for arguments that are not the user's to give."""
    problems = []
    for argument in load.args:
        name = argument.split("=", 1)[0]
        if name in _OURS:
            key = _OURS[name]
            hint = f"Use the key {key} of the experiment file" if key else "Locust runs headless under meshtrial"
            problems.append(Problem(f"args: {name} can't be passed on to Locust", suggestion=hint))
    if problems:
        raise InputError(problems)


def check_tls(tls: Tls | None) -> None:
    """Raise InputError for a file of the TLS settings that is not there."""
    if tls is None:
        return
    files = {"ca": tls.ca, "certificate": tls.certificate, "key": tls.key}
    problems = [
        Problem(f"the file of tls.{key} does not exist: {path}")
        for key, path in files.items()
        if path and not path.is_file()
    ]
    if tls.key and not tls.certificate:
        problems.append(Problem("tls.key needs tls.certificate beside it"))
    if problems:
        raise InputError(problems)


# -P: a file in the working directory must not stand for a module of the standard library
PYTHON = (sys.executable, "-P", "-m", "locust")


def shared_arguments(load: LocustLoad, file: Path) -> list[str]:
    """What the process that drives and all its workers are started with: the files, the user classes, their options."""
    return ["-f", f"{PLUGIN},{file}", *option_arguments(load)]


def option_arguments(load: LocustLoad) -> list[str]:
    """The same without the files, which lie elsewhere in a pod."""
    arguments = [*load.users, *load.args]
    if load.tags:
        arguments += ["--tags", *load.tags]
    if load.exclude_tags:
        arguments += ["--exclude-tags", *load.exclude_tags]
    return arguments


def command(load: LocustLoad, file: Path) -> list[str]:
    """The command line of the process that the driver speaks to, without what workers add."""
    started = [*PYTHON, "--headless", "--only-summary", "--exit-code-on-error", "0"]
    if load.processes > 1:
        port = str(_free_port())
        started += ["--processes", str(load.processes)]
        started += ["--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        started += ["--master-host", "127.0.0.1", "--master-port", port]
    return started + shared_arguments(load, file)


def _free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago, for Locust's own master and workers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
