"""CPU and memory over a window, and what may not be said of it."""

from __future__ import annotations

import pytest

from runner.probes.usage import over_window
from runner.results.usage import Usage


def _counted(at, cpu, memory=50_000_000, instance="r-1"):
    return Usage("reviews-v1", instance, "proxy", at, cpu=cpu, memory=memory)


def test_counted_cpu_time_is_a_difference_over_the_sources_own_time():
    found, why = over_window([_counted(99, 10.0)], [_counted(111, 13.0, 60_000_000)], 100, 110)
    assert why == ""
    assert (found[0].workload, found[0].part, found[0].cores, found[0].memory_mb) == ("reviews-v1", "proxy", 0.25, 60)


def test_instances_are_added_up():
    before = [_counted(100, 1.0), _counted(100, 2.0, instance="r-2")]
    after = [_counted(110, 2.0), _counted(110, 5.0, instance="r-2")]
    found, _ = over_window(before, after, 100, 110)
    assert found[0].cores == pytest.approx(0.4)
    assert found[0].memory_mb == 100


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ([], [_counted(110, 2.0)], "not there, or was started anew"),
        ([_counted(100, 9.0)], [_counted(110, 2.0)], "started anew"),
        ([_counted(100, 1.0)], [_counted(100, 1.0)], "measured only 0 s apart"),
        ([_counted(100, 1.0)], [_counted(104, 2.0)], "in a window of 10 s"),
    ],
)
def test_where_cpu_is_not_known(before, after, reason):
    found, why = over_window(before, after, 100, 110)
    assert found[0].cores is None
    assert found[0].memory_mb == 50
    assert reason in why


def test_a_sources_own_mean_counts_when_it_is_of_this_window():
    def mean(at):
        return Usage("r", "r-1", "app", at, cores=0.3, over=15.0)

    assert over_window([], [mean(118)], 100, 120)[0][0].cores == 0.3
    early, why = over_window([], [mean(105)], 100, 120)
    assert early[0].cores is None
    assert "mean over 15 s" in why


def test_memory_alone():
    found, why = over_window([], [Usage("r", "r-1", "proxy", 5.0, memory=1_000_000)], 0, 5)
    assert (found[0].cores, found[0].memory_mb) == (None, 1)
    assert why == "the source knows memory alone"
