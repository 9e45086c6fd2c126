from __future__ import annotations

import itertools

import pytest


def requests(second):
    return sum(cell.requests for by_status in second.cells.values() for cell in by_status.values())


def test_users_loop_with_their_own_wait_time_and_stop_at_the_edges(drive, plan_for, server):
    driver = drive("""
        from locust import FastHttpUser, constant, task

        class Visitor(FastHttpUser):
            wait_time = constant(0.2)

            def on_start(self):
                self.client.post("/login")

            @task
            def get(self):
                self.client.get("/page?ms=20")
    """)
    driver.start()
    for _ in range(2):
        before = len(server.seen("/page"))
        window = driver.drive(plan_for(users=5, seconds=1))
        whole = window.whole()
        assert requests(whole) == len(server.seen("/page")) - before
        # A user that waits 0.2 s between tasks has at most six in a second.
        assert 5 <= requests(whole) <= 30
        cell = whole.cells["/page?ms=20"]["200"]
        assert cell.response == cell.service
        assert (window.open_loop, window.scheduled, whole.due, whole.dropped, whole.lag.count) == (False, 0, 0, 0, 0)
        assert window.drained
    assert len(server.seen("/login")) == 5


def test_users_that_pace_themselves_do_not_go_in_step(drive, plan_for, server):
    driver = drive("""
        from locust import FastHttpUser, constant_pacing, task

        class Visitor(FastHttpUser):
            wait_time = constant_pacing(0.5)

            @task
            def get(self):
                self.client.get("/page")
    """)
    driver.start()
    driver.drive(plan_for(users=10, seconds=2))
    at = [one["at"] for one in server.seen("/page")]
    assert 30 <= len(at) <= 50
    gaps = sorted(after - before for before, after in itertools.pairwise(at))
    # In step, nine gaps in ten would be next to nothing; spread, they are about 50 ms.
    assert gaps[len(gaps) // 2] > 0.02


def test_no_more_users_than_asked_for_are_ever_busy(drive, plan_for):
    driver = drive("""
        from locust import HttpUser, constant, task

        busy = 0

        class Visitor(HttpUser):
            wait_time = constant(0)

            @task
            def get(self):
                global busy
                busy += 1
                with self.client.get("/page?ms=30", catch_response=True) as response:
                    response.request_meta["context"]["outcome"] = str(busy)
                busy -= 1
    """)
    driver.start()
    window = driver.drive(plan_for(users=3, seconds=1))
    labels = window.whole().outcomes["/page?ms=30"]
    assert set(labels) <= {"1", "2", "3"}
    assert "3" in labels
    assert sum(labels.values()) == requests(window.whole())


SHAPED = """
    from locust import FastHttpUser, LoadTestShape, constant, task

    class Reader(FastHttpUser):
        wait_time = constant(0.05)
        weight = 3

        @task
        def read(self):
            self.client.get("/read")

    class Writer(Reader):
        weight = 1

        @task
        def read(self):
            self.client.post("/write")

    class Steps(LoadTestShape):
        def tick(self):
            time = self.get_run_time()
            if time < 0.9:
                return (4, 4)
            if time < 1.9:
                return (12, 12)
            return (4, 12, [Reader]) if time < 2.9 else None
"""


@pytest.mark.parametrize("shared", [{}, {"processes": 2}], ids=["alone", "processes"])
def test_a_load_shape_says_how_many_users_there_are(drive, plan_for, server, shared):
    driver = drive(SHAPED, **shared)
    driver.start()
    for _ in range(2):
        window = driver.drive(plan_for(users="shape", seconds=4.0))
        assert not window.open_loop
        assert window.drained
        sent = [sum(cell.requests for by in second.cells.values() for cell in by.values()) for second in window.seconds]
        sent += [0] * (4 - len(sent))
        # so many as users allow at 20 a second each, fewer on a busy machine, three times as many in the second step
        assert sent[0] <= 4 * 21
        assert 1.5 * sent[0] < sent[1] <= 12 * 21
        assert sent[2] < sent[1]
        assert sent[3] <= 8  # what had begun before
        by_second = [set(second.cells) for second in window.seconds]
        assert by_second[0] == by_second[1] == {"/read", "/write"}
        assert sum(sent) == len(server.seen())
        server.ask("/__forget")
