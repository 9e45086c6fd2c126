"""fortio's histograms as ours, and its log lines, for any that it may write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.load.fortio_log import Entry, LiveSeconds, LogTail, is_error, meaning, seconds_of
from runner.load.fortio_result import Bucket, Durations, FortioResult
from runner.load.fortio_said import Said
from runner.results.histogram import bucket_width
from runner.results.window import Second

RESOLUTION = 0.00005


def durations_of(values, resolution=RESOLUTION):
    """fortio's histogram of some durations (s), with buckets of one width."""
    by_bucket = {}
    for value in values:
        by_bucket.setdefault(int(value / resolution), []).append(value)
    buckets = [
        Bucket(Start=number * resolution, End=(number + 1) * resolution, Count=len(inside))
        for number, inside in sorted(by_bucket.items())
    ]
    if not buckets:
        return Durations()
    buckets[0].start, buckets[-1].end = min(values), max(values)
    return Durations(Count=len(values), Min=min(values), Max=max(values), Sum=sum(values), Data=buckets)


times = st.integers(1, 5_000_000).map(lambda micro: micro / 1e6)


@given(st.lists(times, min_size=1, max_size=200))
def test_number_sum_least_and_greatest_are_fortios_and_every_request_stays_in_its_bucket(values):
    theirs = durations_of(values)
    ours = theirs.histogram()
    assert (ours.count, sum(ours.counts.values())) == (len(values), len(values))
    assert ours.total == pytest.approx(sum(values) * 1e6, abs=1)
    assert ours.least == pytest.approx(min(values) * 1e6, abs=1)
    assert ours.greatest == pytest.approx(max(values) * 1e6, abs=1)
    for lower in ours.counts:
        assert any(
            lower <= bucket.end * 1e6 + 1 and bucket.start * 1e6 - 1 <= lower + bucket_width(lower)
            for bucket in theirs.buckets
        )


@given(st.lists(times, min_size=20, max_size=200), st.sampled_from([0.1, 0.5, 0.9, 0.99]))
def test_a_quantile_is_as_exact_as_a_bucket_is_narrow(values, share):
    ours = durations_of(values).histogram().quantile(share)
    exact = sorted(values)[max(1, -int(-len(values) * share // 1)) - 1] * 1e6
    assert ours == pytest.approx(exact, abs=RESOLUTION * 1e6 + 2, rel=0.009)


@given(st.lists(times, max_size=60), st.lists(times, max_size=60))
def test_taking_the_failures_away_leaves_the_others(fine, failed):
    left = durations_of(fine + failed).without(durations_of(failed))
    assert left.count == sum(bucket.count for bucket in left.buckets or []) == len(fine)
    if fine:
        assert left.total == pytest.approx(sum(fine), abs=1e-6)
        assert left.histogram().count == len(fine)
        assert left.least <= min(fine) + RESOLUTION
        assert left.greatest >= max(fine) - RESOLUTION


@given(st.lists(times, min_size=1, max_size=100), st.data())
def test_dividing_loses_nobody(values, data):
    number = data.draw(st.integers(0, len(values)))
    whole = durations_of(values)
    ours, rest = whole.first(number / len(values))
    assert (ours.count, rest.count) == (number, len(values) - number)
    assert ours.total + rest.total == pytest.approx(whole.total)


def result(codes, fine, failed):
    everything, failures = durations_of(fine + failed), durations_of(failed)
    return FortioResult(
        StartTime="2026-11-24T06:40:40.960195435Z",
        ActualDuration=1_000_000_000,
        NumThreads=2,
        DurationHistogram=everything,
        ErrorsDurationHistogram=failures,
        RetCodes=codes,
    )


def test_statuses_of_one_kind_share_a_histogram_and_say_so():
    one, remarks = result({"200": 3, "503": 2}, [0.001] * 3, [0.2] * 2).whole("/")
    assert remarks == []
    assert one.cells["/"]["200"].response.quantile(1) == pytest.approx(1000, abs=60)
    assert one.cells["/"]["503"].response.quantile(1) == pytest.approx(200_000, rel=0.01)
    mixed, (remark,) = result({"200": 3, "503": 2, "-1": 2, "301": 1}, [0.001] * 3, [0.2] * 5).whole("/")
    assert remark.startswith("fortio keeps one histogram for the statuses -1, 301, 503 together")
    cells = mixed.cells["/"]
    assert {status: (cell.requests, cell.errors) for status, cell in cells.items()} == {
        "200": (3, 0),
        "503": (2, 2),
        "0": (2, 2),
        "301": (1, 0),
    }
    assert cells["0"].response.count == 0


def test_the_beginning_is_read_to_the_microsecond():
    assert result({}, [0.1], []).started_ns == 1_795_502_440_960_195_000
    moved = result({}, [0.1], []).model_copy(update={"started": "2026-11-24T08:40:40.960195435+02:00"})
    assert moved.started_ns == 1_795_502_440_960_195_000


LINE = b'{"latency":%f,"timestamp":%d,"thread":1,"iter":0,"ok":true,"details":"%s"}'


@given(st.floats(0, 100), st.integers(10**18, 2 * 10**18), st.integers(100, 599))
def test_every_line_of_the_log_is_read(latency, sent, code):
    entry = Entry.of(LINE % (latency, sent, str(code).encode()))
    assert (entry.sent, entry.status) == (sent, str(code))
    assert entry.latency == pytest.approx(latency * 1e6, abs=1)


@pytest.mark.parametrize(
    ("details", "status", "failed"),
    [
        ("-1", "0", ""),
        ("204", "204", ""),
        ("SERVING", "200", ""),
        ("NOT_SERVING", "503", ""),
        ('rpc error: code = Unavailable desc = "no"', "0", "Unavailable"),
        ("ERROR", "0", "ERROR"),
    ],
)
def test_what_fortios_words_mean(details, status, failed):
    assert meaning(details) == (status, failed)


def test_errors_are_all_but_2xx_and_3xx():
    assert [status for status in ("200", "302", "404", "418", "503", "0") if is_error(status)] == [
        "404",
        "418",
        "503",
        "0",
    ]


def test_what_is_no_log_is_refused():
    with pytest.raises(ValueError, match="is no line of it"):
        Entry.of(b'{"latency":0.1}')


SECOND = 1_000_000_000
BEGIN = 1_795_502_440 * SECOND


def test_requests_belong_to_the_second_of_their_sending_and_are_told_in_that_of_their_end(tmp_path):
    path = tmp_path / "log"
    tail = LogTail(path)
    assert list(tail.entries()) == []
    live = LiveSeconds(LogTail(path), "/")
    lines = [(0.1, 0, 200), (1.5, SECOND // 2, 503), (0.1, SECOND * 5 // 2, 200)]
    written = [LINE % (latency, BEGIN + sent, str(code).encode()) for latency, sent, code in lines]
    path.write_bytes(b"\n".join(written)[:-5])  # the last line is still being written
    assert len(list(tail.entries())) == 2
    assert [set(second.cells.get("/", {})) for second in live.over(BEGIN + 2 * SECOND)] == [{"200"}, set()]
    path.write_bytes(b"\n".join([*written, b""]))
    assert len(list(tail.entries())) == 1
    assert [set(second.cells.get("/", {})) for second in live.over(BEGIN + 3 * SECOND)] == [{"200", "503"}]
    seconds = seconds_of(LogTail(path), "/", BEGIN, 2.0)
    assert [{status: cell.requests for status, cell in second.cells["/"].items()} for second in seconds] == [
        {"200": 1, "503": 1},
        {"200": 1},
    ]
    assert [second.in_flight for second in seconds] == [1, 0]


def test_reasons_are_of_the_last_requests_and_what_has_none_is_named_so():
    said = Said()
    for reason in ("dial tcp 127.0.0.1:1: connect: connection refused", "read tcp a->b: i/o timeout", "EOF"):
        said.line(json.dumps({"level": "err", "msg": "Unable to connect", "err": reason}))
    said.line(json.dumps({"level": "warn", "msg": "only a warning"}))
    said.line("{ no JSON")
    second = Second(0)
    second.cell("/", "0").unanswered = 2
    said.name_exceptions([second])
    assert second.exceptions == {"i/o timeout": 1, "EOF": 1}
    second = Second(0)
    second.cell("/", "0").unanswered = 5
    said.name_exceptions([second])
    assert second.exceptions == {"connection refused": 1, "i/o timeout": 1, "EOF": 1, "no response": 2}


def test_falling_behind_and_an_unread_header_are_noticed():
    said = Said()
    said.line("WARNING 19.19% of sleep were falling behind")
    assert said.behind == pytest.approx(0.1919)
    assert said.unread == ""
    said.line('{"level":"crit","msg":"Unable to watch config/flag changes in /x: too many open files"}')
    assert "too many open files" in said.unread
