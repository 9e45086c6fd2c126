"""What the driver and its child processes say to each other: JSON lines over inherited socket pairs.

Headers and TLS travel here and never on a command line, where `ps` would show them. Neither Locust nor pydantic is
imported: both sides use this module.

With workers there is one socket pair, to Locust's master, which hands lines on over Locust's own messages. A line to or
from a worker has its number before it (`3 ["Tick",...]`); one without a number is the master's own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from runner.results.window import Second

SHAPE = "shape"
"""Instead of a number of users: as many as the file's own load shape says."""
LINE = "meshtrial"
"""The type of Locust's message that carries a line; from a worker it is `[number, line]`, so that none is missed."""
JOIN = "meshtrial_join"
"""The type of Locust's message in which a worker asks to be taken: `[version of Meshtrial, line]`."""


@dataclass(frozen=True, slots=True)
class StageOnWire:
    """One stage of an arrival profile: rate per second, duration in seconds."""

    rate: float
    duration: float


@dataclass(frozen=True, slots=True)
class ArrivalsOnWire:
    """An arrival profile, as `runner.load.arrivals.schedule` takes it, and the bound of the pool over all processes."""

    rate: float | None
    stages: tuple[StageOnWire, ...] | None
    distribution: str
    max_in_flight: int


@dataclass(frozen=True, slots=True)
class TlsOnWire:
    """Absolute paths of PEM files, and whether the server's certificate is verified."""

    ca: str | None
    certificate: str | None
    key: str | None
    verify: bool


@dataclass(frozen=True, slots=True)
class TargetOnWire:
    """Where requests go: base URL without a trailing slash, headers for every request, TLS."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    tls: TlsOnWire | None = None


class Message:
    """Base of everything that is sent; its name is on the wire."""

    kinds: ClassVar[dict[str, type[Message]]] = {}

    def __init_subclass__(cls) -> None:
        Message.kinds[cls.__name__] = cls

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # every kind is a dataclass

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Message:
        """The message that `to_json` gave."""
        return cls(**data)


def encode(message: Message) -> bytes:
    """One line of the wire."""
    return json.dumps([type(message).__name__, message.to_json()], separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message of one line of the wire."""
    kind, data = json.loads(line)
    return Message.kinds[kind].from_json(data)


def routed(line: bytes) -> tuple[int | None, bytes]:
    """The worker's number before a line, if there is one, and the line."""
    if line.startswith(b"["):
        return None, line
    number, _, rest = line.partition(b" ")
    return int(number), rest


def kind_of(line: bytes) -> str:
    """The name of a line's message, without reading all of it."""
    return line[2 : line.index(b'"', 2)].decode()


@dataclass(frozen=True)
class Prepare(Message):
    """Make users for a window, and wait until they are ready.

    Attributes:
        window: its number; whatever is said about a window carries it, so that one left in the middle does no harm.
        index: which of the `of` generating processes the receiver is (0 for the only one); -1 for a master, which
            generates nothing.
        of: how many processes share the schedule, the pool and the users.
    """

    window: int
    target: TargetOnWire
    seconds: float
    seed: int
    drain: float
    arrivals: ArrivalsOnWire | None
    users: int | str | None
    index: int
    of: int

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Prepare:
        """The message that `to_json` gave."""
        target, arrivals = data["target"], data["arrivals"]
        if arrivals and arrivals["stages"] is not None:
            arrivals["stages"] = tuple(StageOnWire(**stage) for stage in arrivals["stages"])
        tls = TlsOnWire(**target["tls"]) if target["tls"] else None
        return cls(
            **{
                **data,
                "target": TargetOnWire(target["url"], target["headers"], tls),
                "arrivals": ArrivalsOnWire(**arrivals) if arrivals else None,
            }
        )


@dataclass(frozen=True)
class Go(Message):
    """Begin the window at `start` on the system's monotonic clock, in seconds."""

    start: float


@dataclass(frozen=True)
class Stop(Message):
    """End the window now."""


@dataclass(frozen=True)
class Quit(Message):
    """Stop the users, then end the process."""


@dataclass(frozen=True)
class Hello(Message):
    """Locust is up and the user's file is loaded.

    Attributes:
        role: local, master or worker.
        index: of a worker, from 0.
        users: names of the user classes that will run.
        notes: what the driver does otherwise than Locust alone would, a sentence each.
        port: where a master listens for workers.
        name: of a worker's machine and process.
        shape: the file's load shape, by the name of its class; empty without one.
    """

    pid: int
    role: str
    index: int
    locust: str
    users: list[str]
    notes: list[str]
    port: int = 0
    name: str = ""
    shape: str = ""


@dataclass(frozen=True)
class Refused(Message):
    """What was asked for can't be done: a sentence, and whether it is the user's input that is wrong."""

    window: int
    reason: str
    input_error: bool


@dataclass(frozen=True)
class Prepared(Message):
    """The users are ready; `users` is their number."""

    window: int
    users: int


@dataclass(frozen=True)
class Part(Message):
    """What was learnt, in one second of the window, about requests of one of its seconds (mostly the same)."""

    window: int
    second: Second

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"window": self.window, "second": self.second.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Part:
        """The message that `to_json` gave."""
        return cls(data["window"], Second.from_json(data["second"]))


@dataclass(frozen=True)
class Tick(Message):
    """Second `offset` of the window is over and all its parts were sent; `in_flight` tasks are under way."""

    window: int
    offset: int
    in_flight: int


@dataclass(frozen=True)
class Done(Message):
    """The window is over and drained.

    Attributes:
        length: how long load was generated, in seconds.
        scheduled: arrivals of this process that were due.
        cpu: seconds of CPU this process used within `length`.
        drained: whether nothing was under way any more.
        ended: wall-clock time, seconds since the epoch, when the last response was in.
        unmeasured: requests that ended within the window and belong to no arrival or task (`on_start`, background).
        user_errors: exceptions that left tasks, `on_start` or the making of a user, by a description, with their
            number.
    """

    window: int
    length: float
    scheduled: int
    cpu: float
    drained: bool
    ended: float
    unmeasured: int
    user_errors: dict[str, int]


@dataclass(frozen=True)
class Join(Message):
    """A worker asks to be taken, and says what must be the same everywhere.

    Attributes:
        host: its machine's name.
        loadfile: SHA-256 of the user's file, as hexadecimal digits.
        options: a digest of each option that the user's file or its tags depend on, by name.
        ticket: of a worker that the driver started; empty for one started elsewhere.
    """

    host: str
    pid: int
    locust: str
    users: list[str]
    notes: list[str]
    loadfile: str
    options: dict[str, str]
    ticket: str


@dataclass(frozen=True)
class Welcome(Message):
    """The worker is taken as number `number`, from 1."""

    number: int


@dataclass(frozen=True)
class Unfit(Message):
    """A worker that would not do the same as the others came: a sentence, and what to do."""

    reason: str
    advice: str


@dataclass(frozen=True)
class Ping(Message):
    """What does your clock say?"""

    number: int


@dataclass(frozen=True)
class Pong(Message):
    """The worker's monotonic clock and its wall clock, in seconds."""

    number: int
    clock: float
    wall: float


@dataclass(frozen=True)
class Clock(Message):
    """What the quickest of a few round trips to a worker told, in seconds.

    Attributes:
        round_trip: how long it took.
        offset: how far the worker's monotonic clock is ahead of the master's.
        skew: how far its wall clock is.
    """

    round_trip: float
    offset: float
    skew: float


@dataclass(frozen=True)
class Lost(Message):
    """A worker is gone or silent: what is known, as the rest of a sentence that begins with its name."""

    reason: str
