"""`load: {fortio: ...}`: what it may say, what it goes with, and what a variant or an option changes about it."""

from __future__ import annotations

import pytest

from runner.spec.overrides import Overrides

HEAD = ""
TWO = "variants: {a: , b: {load: {fortio: {connections: 3}}}}\n"


def load_of(project, load, variants="variants: {a: }\n", **options):
    return project.load(f"load: {load}\n{variants}", head=HEAD, **options).experiment


def test_defaults_are_fortios_but_for_what_would_hide_a_stall(project):
    load = load_of(project, "{fortio: {}}").variants["a"].load
    fortio = load.fortio
    assert (fortio.connections, fortio.qps, fortio.requests, fortio.path, fortio.timeout) == (4, 8.0, None, "/", 3.0)
    assert (fortio.uniform, fortio.nocatchup, fortio.jitter, fortio.keepalive) == (True, True, False, True)
    assert fortio.resolution == 0.00005
    assert (load.arrivals, load.users, load.warmup, load.duration) == (None, None, 5.0, 30.0)
    assert not load.exact


def test_every_key_is_read(project):
    project.put("experiments/body.json", "{}")
    load = load_of(
        project,
        """{fortio: {path: /p, connections: 2, qps: 600/m, payload_file: body.json, content_type: a/b, http2: true,
           jitter: true, uniform: false, nocatchup: false, resolution: 1ms, timeout: 10s, access_log: false,
           args: [-gomaxprocs, "1"]}, host: "shop:9080", headers: {A: b}, from: client, duration: 20s, warmup: 1s}""",
    ).variants["a"].load  # fmt: skip
    fortio = load.fortio
    assert (fortio.qps, fortio.resolution, fortio.timeout, fortio.args) == (10.0, 0.001, 10.0, ["-gomaxprocs", "1"])
    assert fortio.payload_file == project.root / "experiments" / "body.json"
    assert (load.source, load.host, load.headers, load.duration) == ("client", "shop:9080", {"A": "b"}, 20.0)


def test_an_exact_number_of_requests_has_no_warmup_and_no_option_stretches_it(project):
    options = Overrides(quick=True, duration="10s", warmup="2s")
    load = load_of(project, "{fortio: {requests: 40, qps: 20}}", overrides=options).variants["a"].load
    assert (load.exact, load.warmup, load.duration) == (True, 0.0, 2.0)
    fast = load_of(project, "{fortio: {requests: 20, qps: 0, connections: 2}}", overrides=options).variants["a"].load
    assert (fast.warmup, fast.duration) == (0.0, 0.0)
    timed = load_of(project, "{fortio: {}}", overrides=options).variants["a"].load
    assert (timed.warmup, timed.duration) == (2.0, 10.0)


def test_variants_lay_their_own_over_it(project):
    found = load_of(project, "{fortio: {qps: 0, connections: 2, payload: x}}", TWO)
    assert [variant.load.fortio.connections for variant in found.variants.values()] == [2, 3]
    project.put("experiments/body", "")
    found = load_of(
        project,
        "{fortio: {payload: x}}",
        "variants: {a: , b: {load: {fortio: {payload_file: body}}}}\n",
    )
    assert found.variants["b"].load.fortio.payload is None
    found = load_of(
        project,
        "{locust: {file: ../loadfiles/bookinfo.py}, arrivals: {rate: 5/s}}",
        "variants: {a: , b: {load: {fortio: {connections: 1}}}}\n",
    )
    assert found.variants["b"].load.locust is None
    assert found.variants["b"].load.arrivals is None
    assert found.variants["a"].load.arrivals.rate == 5.0


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ("{fortio: {}, arrivals: {rate: 5/s}}", "load: arrivals can't be made by fortio, a closed loop that fortio.qps"),
        ("{fortio: {}, users: 3}", "load: users are called connections with fortio: fortio.connections"),
        ("{fortio: {connection: 3}}", 'unknown key "connection"; expected one of binary, path, connections'),
        ("{fortio: {connections: 0}}", "load.fortio.connections: 0 is less than 1"),
        ("{fortio: {qps: -1}}", "load.fortio.qps: -1 is not 0 or more; 0 is as fast as the connections can"),
        ("{fortio: {qps: .nan}}", "load.fortio.qps: nan is not 0 or more"),
        ("{fortio: {qps: .inf}}", "load.fortio.qps: is too large"),
        ("{fortio: {qps: true}}", "load.fortio.qps: true is not a number of requests per second"),
        ("{fortio: {qps: fast}}", "load.fortio.qps: 'fast' is not a rate such as 20/s"),
        ("{fortio: {path: page}}", "load.fortio: path: 'page' should begin with /"),
        ("{fortio: {requests: 3, connections: 2}}", "load.fortio: 3 requests are too few for 2 connections: each makes two"),
        ("{fortio: {requests: 1, connections: 2, qps: 0}}", "1 requests are too few for 2 connections: each makes one"),
        ("{fortio: {qps: 1, connections: 8}, duration: 10s}", "10 requests (1/s for 10 s) are too few for 8 connections"),
        ("{fortio: {requests: 20}, duration: 10s}", "load: takes one of duration and fortio.requests"),
        ("{fortio: {requests: 20}, warmup: 1s}", "load: warmup: there is none before an exact number of requests"),
        ("{fortio: {payload: a, payload_file: b}}", "load.fortio: takes one of payload and payload_file"),
        ("{fortio: {payload_file: gone}}", "gone: no such file; expected a file to send"),
        ("{fortio: {binary: gone}}", "gone: no such file; expected fortio's program"),
        ("{fortio: {grpc: echo}}", "load.fortio.grpc: should be 'ping' or 'health'"),
        ("{fortio: {grpc: ping, http2: true}}", "load.fortio: http2: fortio has no such option for gRPC"),
        ("{fortio: {http2: true, keepalive: false}}", "load.fortio: keepalive: fortio can't close HTTP/2 connections"),
        ("{fortio: {resolution: 0s}}", "load.fortio.resolution: must be more than zero"),
        ("{fortio: {timeout: 3}}", "load.fortio.timeout: 3 needs a unit"),
    ],
)  # fmt: skip
def test_what_it_can_not_be(project, load, expected):
    (problem,) = project.problems(f"load: {load}\nvariants: {{a: }}\n", head=HEAD)
    assert expected in problem


def test_a_guardrail_needs_something_to_watch(project):
    text = "load: {fortio: {access_log: false}}\nvariants: {a: }\nstop_if: ['errors > 3']\n"
    (problem,) = project.problems(text, head=HEAD)
    assert problem.startswith("1:17: without its access log fortio tells nothing while it runs")
    assert project.load(text.replace("false", "true"), head=HEAD).guardrails
