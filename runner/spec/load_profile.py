"""What traffic, from where, how much: the load profile of an experiment or a variant, made by Locust or fortio.

Durations are seconds, rates requests per second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, PrivateAttr, model_validator

from runner.spec.fields import (
    Duration,
    Port,
    PositiveDuration,
    PositiveRate,
    Qps,
    Rate,
    SpecModel,
    Text,
    Users,
    Whole,
    Workers,
)
from runner.spec.rates import opening_rate


class Stage(SpecModel):
    """A stretch of an arrival profile: the rate goes in a straight line from where it was to `rate`."""

    rate: Rate
    duration: PositiveDuration


class Arrivals(SpecModel):
    """Open loop: requests are due by a schedule, whatever the service does."""

    rate: PositiveRate | None = None
    stages: list[Stage] | None = Field(default=None, min_length=1)
    distribution: Literal["uniform", "poisson"] = "uniform"
    max_in_flight: Whole = 1000

    @model_validator(mode="after")
    def _one_profile(self) -> Arrivals:
        if (self.rate is None) == (self.stages is None):
            raise ValueError("takes exactly one of rate and stages")
        if self.stages is not None and not any(stage.rate for stage in self.stages):
            raise ValueError("every stage has a rate of zero, so nothing would arrive")
        return self

    def opening(self, seconds: float) -> Arrivals:
        """What to warm up with for `seconds`: stages give way to a constant rate, that of their beginning."""
        if self.stages is None:
            return self
        return self.model_copy(update={"rate": opening_rate(self, seconds), "stages": None})


class WorkersMaster(SpecModel):
    """Where Locust's master waits for workers that are started elsewhere."""

    bind: Text = "127.0.0.1"
    """Locust's traffic is neither encrypted nor asks who comes, so only this machine by default."""
    port: Port = 5557
    """Locust's own default."""
    wait: PositiveDuration = 120.0
    """How long."""


class LocustLoad(SpecModel):
    """An ordinary locustfile, run unmodified in a child process."""

    file: Path
    """Resolved against the experiment file."""
    tags: list[Text] = Field(default_factory=list)
    exclude_tags: list[Text] = Field(default_factory=list)
    users: list[Text] = Field(default_factory=list)
    """User classes to run; all of the file's when empty."""
    args: list[Text] = Field(default_factory=list)
    """More arguments for Locust's own command line."""
    processes: Whole = 1
    """Generator processes, forked from one."""
    workers: Workers | None = None
    """Locust's own workers instead: so many on this machine (on a cluster: in pods), or `external`, started elsewhere."""
    master: WorkersMaster = Field(default_factory=WorkersMaster)
    expect: Whole = 1
    """How many external workers the load is shared by."""

    @model_validator(mode="after")
    def _one_way_to_share(self) -> LocustLoad:
        if self.workers is not None and "processes" in self.model_fields_set:
            raise ValueError("takes one of processes and workers")
        misplaced = {"master", "expect"} & self.model_fields_set
        if self.workers != "external" and misplaced:
            raise ValueError(f"{', '.join(sorted(misplaced))}: only with workers: external")
        return self

    def alone(self) -> LocustLoad:
        """The same without workers: enough to see whether the file can be loaded."""
        return self.model_copy(update={"workers": None})


class FortioLoad(SpecModel):
    """fortio as the generator: always a closed loop, in which each connection waits for its answer before it asks again.

    Keys are named as fortio's own options are, with its defaults where nothing else is said.
    """

    binary: Path | None = None
    """fortio's program; the one on PATH when None. Resolved against the experiment file."""
    path: Text = "/"
    """What is asked for, below the target's URL."""
    connections: Whole = 4
    """`-c`: how many requests are under way at once, at most."""
    qps: Qps = 8.0
    """`-qps`: requests per second of all connections together; 0 is as fast as they can."""
    requests: Whole | None = None
    """`-n`: exactly so many requests, however long they take; for `load.duration` when None."""
    payload: Text | None = None
    """A body to send; makes it a POST."""
    payload_file: Path | None = None
    """The same, from a file. Resolved against the experiment file."""
    content_type: Text | None = None
    http2: bool = False
    """`-h2`: with TLS or without."""
    keepalive: bool = True
    grpc: Literal["ping", "health"] | None = None
    """Calls of fortio's ping service or of gRPC's health service instead of HTTP requests."""
    uniform: bool = True
    """Requests of different connections spread evenly instead of sent in step (fortio's own default: no)."""
    nocatchup: bool = True
    """Requests that a slow answer held up are left out, so that the rate shows it, instead of made up for in a burst that hides it
    (fortio's own default: no)."""
    jitter: bool = False
    resolution: PositiveDuration = 0.00005
    """`-r`: width of the lowest buckets in fortio's own histogram (fortio's own default: 1 ms)."""
    timeout: PositiveDuration = 3.0
    """After which a request counts as not answered."""
    access_log: bool = True
    """`-access-log-file`: a line for each request, read while load runs; without it there is one histogram for the whole window."""
    args: list[Text] = Field(default_factory=list)
    """More arguments for fortio's own command line."""

    @model_validator(mode="after")
    def _fits_together(self) -> FortioLoad:
        if not self.path.startswith("/"):
            raise ValueError(f"path: {self.path!r} should begin with /")
        if self.payload is not None and self.payload_file is not None:
            raise ValueError("takes one of payload and payload_file")
        if self.requests is not None and self.requests < self.connections * (2 if self.qps else 1):
            least = "two requests" if self.qps else "one request"
            raise ValueError(
                f"{self.requests} requests are too few for {self.connections} connections: each makes {least} at least"
            )
        if self.http2 and not self.keepalive:
            raise ValueError("keepalive: fortio can't close HTTP/2 connections after each request")
        http_only = {"path", "content_type", "http2", "keepalive", "timeout"} & self.model_fields_set
        if self.grpc and http_only:
            raise ValueError(f"{', '.join(sorted(http_only))}: fortio has no such option for gRPC")
        return self


class Tls(SpecModel):
    """How to reach an HTTPS target."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True


GATEWAY = "gateway"
"""The ingress gateway as `load.from` calls it when nothing is said; at a plain URL, the URL itself."""
GATEWAY_NAMES = frozenset({GATEWAY, "ingressgateway", "istio-ingressgateway"})
"""What `load.from` may call the ingress gateway."""


class Load(SpecModel):
    """What traffic, from where, how much."""

    locust: LocustLoad | None = None
    fortio: FortioLoad | None = None
    source: str = Field(default=GATEWAY, alias="from")
    host: Text | None = None
    headers: dict[str, Text] = Field(default_factory=dict)
    """Rendered: may hold secrets, never written to results; `secret_headers` names those made from the environment."""
    tls: Tls | None = None
    arrivals: Arrivals | None = None
    users: Users | None = None
    """So many, or `shape`: as many as the loadfile's own `LoadTestShape` says."""
    warmup: Duration = 5.0
    duration: PositiveDuration = 30.0
    """With `stages` and no duration of its own: as long as the stages. With `fortio.requests`: as long as their rate makes it, 0 when
    they go as fast as they can."""
    _secret_headers: frozenset[str] = PrivateAttr(default=frozenset())
    _fitted: bool = PrivateAttr(default=False)
    """Validators run again where a load becomes part of a variant; by then `duration` and `warmup` may be set from here."""

    @model_validator(mode="after")
    def _one_driver_one_profile(self) -> Load:
        if (self.locust is None) == (self.fortio is None):
            raise ValueError("takes exactly one of locust and fortio")
        if self.fortio is not None:
            if not self._fitted:
                self._fit_fortio(self.fortio)
            self._fitted = True
            return self
        if self.arrivals is not None and self.users is not None:
            raise ValueError("takes exactly one of arrivals (open loop) and users (closed loop)")
        if self.arrivals is None and self.users is None:
            self.arrivals = Arrivals(rate="20/s")
        if self.arrivals and self.arrivals.stages and "duration" not in self.model_fields_set:
            self.duration = sum(stage.duration for stage in self.arrivals.stages)
        return self

    def _fit_fortio(self, fortio: FortioLoad) -> None:
        if self.arrivals is not None:
            raise ValueError("arrivals can't be made by fortio, a closed loop that fortio.qps paces; locust makes them")
        if self.users is not None:
            raise ValueError("users are called connections with fortio: fortio.connections")
        if fortio.requests is None:
            calls = int(fortio.qps * self.duration)
            if fortio.qps and calls < 2 * fortio.connections:
                raise ValueError(
                    f"{calls} requests ({fortio.qps:g}/s for {self.duration:g} s) are too few for "
                    f"{fortio.connections} connections: each makes two requests at least"
                )
            return
        if "duration" in self.model_fields_set:
            raise ValueError("takes one of duration and fortio.requests, which takes as long as it takes")
        if self.warmup and "warmup" in self.model_fields_set:
            raise ValueError("warmup: there is none before an exact number of requests (fortio.requests)")
        self.warmup = 0.0
        self.duration = fortio.requests / fortio.qps if fortio.qps else 0.0

    @property
    def exact(self) -> bool:
        """Whether the load is an exact number of requests, so that no option can stretch it."""
        return self.fortio is not None and self.fortio.requests is not None

    @property
    def at_gateway(self) -> bool:
        """Whether it enters at the ingress gateway instead of leaving from a workload."""
        return self.source in GATEWAY_NAMES

    @property
    def secret_headers(self) -> frozenset[str]:
        """Names of the headers whose values come from the environment."""
        return self._secret_headers

    def mark_secret(self, headers: frozenset[str]) -> None:
        """Note the headers whose values must never be written."""
        self._secret_headers = headers
