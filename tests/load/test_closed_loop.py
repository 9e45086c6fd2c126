from __future__ import annotations

import itertools


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
