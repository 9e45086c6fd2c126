"""fortio's command line, from what the experiment file says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from runner.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runner.load.base import Target
    from runner.spec.load_profile import FortioLoad, Tls

_OURS = {
    "c": "connections",
    "qps": "qps",
    "calc-qps": "qps",
    "n": "requests",
    "t": "duration of the load",
    "payload": "payload",
    "payload-file": "payload_file",
    "content-type": "content_type",
    "h2": "http2",
    "keepalive": "keepalive",
    "grpc": "grpc",
    "ping": "grpc",
    "health": "grpc",
    "uniform": "uniform",
    "nocatchup": "nocatchup",
    "jitter": "jitter",
    "r": "resolution",
    "timeout": "timeout",
    "access-log-file": "access_log",
    "access-log-format": "access_log",
    "H": "headers of the load",
    "user": "headers of the load (Authorization)",
    "resolve": "host of the load",
    "cacert": "tls of the load",
    "cert": "tls of the load",
    "key": "tls of the load",
    "k": "tls of the load",
    "https-insecure": "tls of the load",
    "json": None,
    "a": None,
    "curl": None,
    "stream": None,
    "labels": None,
    "data-dir": None,
    "config-dir": None,
    "config-port": None,
    "loglevel": None,
    "quiet": None,
    "logger-json": None,
    "log-errors": None,
    "allow-initial-errors": None,
    "h": None,
    "help": None,
}
"""fortio's options that the experiment file has a key for, or that meshtrial sets itself."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of fortio.

    Attributes:
        arguments: everything after the program's name.
        secret: a header, `Name: value`, that must not be among them, because everybody on the machine can read those.
    """

    arguments: list[str]
    secret: str | None = None


def check_arguments(args: Sequence[str]) -> None:
    """Refuse arguments that the experiment file has a key for, or that would keep fortio from its work.

    Raises:
        InputError: all of them.
    """
    problems = []
    for argument in args:
        name = re.fullmatch(r"--?([A-Za-z][\w.-]*)(=.*)?", argument, re.DOTALL)
        if name and name[1] in _OURS:
            key = _OURS[name[1]]
            hint = f"Use the key {key}" if key else "meshtrial sets it itself"
            problems.append(Problem(f"fortio.args: -{name[1]} can't be passed on to fortio", suggestion=hint))
    if problems:
        raise InputError(problems)


def options(load: FortioLoad) -> list[str]:
    """The options that hold for every run of a load profile."""
    given = ["-loglevel", "warning", "-logger-json=true", "-log-errors=false", "-allow-initial-errors"]
    given += ["-c", str(load.connections), "-qps", f"{load.qps:.12g}", "-r", f"{load.resolution:.9f}"]
    if load.qps:
        flags = {"uniform": load.uniform, "nocatchup": load.nocatchup, "jitter": load.jitter}
        given += [f"-{name}" for name, is_on in flags.items() if is_on]
    if load.grpc:
        given.append("-grpc")
        given += ["-ping"] if load.grpc == "ping" else []
    else:
        given += ["-timeout", f"{load.timeout:.9f}s"]
        given += ["-h2"] if load.http2 else []
        given += [] if load.keepalive else ["-keepalive=false"]
        given += ["-content-type", load.content_type] if load.content_type is not None else []
    given += ["-payload", load.payload] if load.payload is not None else []
    given += ["-payload-file", str(load.payload_file)] if load.payload_file is not None else []
    return [*given, *load.args]


def invocation(load: FortioLoad, target: Target, seconds: float, log: Path | None) -> Invocation:
    """The run that drives one window.

    Args:
        load: how to ask.
        target: where.
        seconds: how long, unless the load is an exact number of requests.
        log: where fortio's access log goes; none when None.

    Raises:
        InputError: more than one header is secret, and fortio can hide only one.
    """
    parts = urlsplit(target.url)
    headers = dict(target.headers)
    secrets = {name for name in headers if name.lower() in {secret.lower() for secret in target.secret_headers}}
    if parts.username is not None:
        name = next((name for name in headers if name.lower() == "authorization"), "Authorization")
        headers.setdefault(name, _basic(parts.username, parts.password or ""))
        secrets.add(name)
    if len(secrets) > 1:
        raise InputError(
            Problem(
                f"the headers {', '.join(sorted(secrets))} hold values from the environment, "
                "and fortio can keep only one header out of the list of processes",
                suggestion="Use locust, or write the others without env",
            )
        )
    hidden = next((f"{name}: {headers.pop(name)}" for name in secrets), None)
    given = [*options(load)]
    given += ["-n", str(load.requests)] if load.requests else ["-t", f"{seconds:.6f}s"]
    for name, value in headers.items():
        given += ["-H", f"{name}: {value}"]
    given += ["-access-log-file", str(log), "-access-log-format", "json"] if log else []
    given += _tls(target.tls)
    host = next((value for name, value in headers.items() if name.lower() == "host"), parts.netloc.rpartition("@")[2])
    label = load.grpc or f"{host}{parts.path.rstrip('/')}{load.path}"
    url, resolved = _address(load, target, host)
    return Invocation([*given, *resolved, "-labels", label, "-json", "-", url], hidden)


def _address(load: FortioLoad, target: Target, host: str) -> tuple[str, list[str]]:
    """The URL, and how its name is found: TLS needs the name that the certificate is for, whatever address serves it."""
    parts = urlsplit(target.url)
    address, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    shown = f"[{address}]" if ":" in address else address
    if load.grpc:
        scheme = "https://" if parts.scheme == "https" else ""
        default = {"https": ":443"}.get(parts.scheme, ":80")
        return f"{scheme}{shown}{port or default}", []
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if parts.scheme == "https" and name not in {shown, address}:
        return f"https://{name}{port}{parts.path.rstrip('/')}{load.path}", ["-resolve", address]
    return f"{parts.scheme}://{shown}{port}{parts.path.rstrip('/')}{load.path}", []


def _tls(tls: Tls | None) -> list[str]:
    if tls is None:
        return []
    files = {"-cacert": tls.ca, "-cert": tls.certificate, "-key": tls.key}
    given = [text for option, path in files.items() if path for text in (option, str(path))]
    return given if tls.verify else [*given, "-k"]


def _basic(user: str, password: str) -> str:
    import base64  # noqa: PLC0415 - for the rare URL with a password in it

    return "Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
