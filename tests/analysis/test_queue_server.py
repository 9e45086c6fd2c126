"""The server whose capacity the benchmark takes for known serves what it says, however late its timers fire."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.queue_server import Workers
from bench.queues import Queue

GAPS = st.lists(st.floats(0, 0.05), min_size=1, max_size=200)


@given(gaps=GAPS, number=st.integers(1, 8))
def test_no_more_are_served_at_a_time_than_there_are_workers(gaps, number):
    workers, seconds = Workers(number, 0.02), 0.02
    came = list(itertools.accumulate(gaps))
    done = [workers.take(moment) for moment in came]
    begun = [moment - seconds for moment in done]
    assert all(start >= moment - 1e-9 for start, moment in zip(begun, came, strict=True)), "none before it came"
    assert begun == sorted(begun), "in order of arrival"
    for start in begun:
        assert sum(one <= start + 1e-9 and start + 1e-9 < one + seconds - 1e-9 for one in begun) <= number


@given(gaps=GAPS)
def test_it_is_the_queue_that_is_simulated(gaps):
    came = np.cumsum(gaps)
    workers = Workers(8, 0.02)
    responses = [workers.take(moment) - moment for moment in came.tolist()]
    assert responses == pytest.approx(Queue("D/D/8", 400, 0.25)._served(came, np.full(len(came), 0.02)), abs=1e-9)


def test_overloaded_it_serves_exactly_its_capacity():
    workers = Workers(8, 0.02)
    done = np.array([workers.take(number / 520) for number in range(5200)])
    seconds = np.bincount(done[done < 10].astype(int))[1:]
    assert seconds == pytest.approx(400, abs=8), "one round of all workers may fall into the next second"
    assert seconds.mean() == pytest.approx(400, rel=0.003)
