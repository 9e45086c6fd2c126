from __future__ import annotations

import threading
from collections import Counter

import pytest

from runner.load.arrivals import schedule

BOTH_CLIENTS = pytest.mark.parametrize("client", ["HttpUser", "FastHttpUser"])

SIMPLE = """
    from locust import FastHttpUser, task, constant

    class Visitor(FastHttpUser):
        wait_time = constant(100)

        @task
        def get(self):
            self.client.get("/page")
"""


def cells(second):
    return [(name, status, cell) for name, by_status in second.cells.items() for status, cell in by_status.items()]


def requests(second, name=None):
    return sum(cell.requests for one, _, cell in cells(second) if name in {None, one})


def test_every_arrival_is_sent_once_and_counted_as_the_server_saw_it(drive, plan_for, server):
    driver = drive(SIMPLE)
    driver.start()
    assert (driver.name, driver.closed_loop_only, driver.user_classes) == ("locust", False, ["Visitor"])
    for seed, distribution in [(3, "uniform"), (4, "poisson")]:
        server.ask("/__forget")
        plan = plan_for(rate="120/s", seconds=1.2, seed=seed, profile={"distribution": distribution})
        window = driver.drive(plan)
        whole = window.whole()
        due = schedule(plan.arrivals, plan.seconds, seed)
        assert window.scheduled == whole.due == requests(whole, "/page") == len(server.seen("/page")) == len(due)
        assert [second.due for second in window.seconds] == [
            sum(int(one) == second for one in due) for second in (0, 1)
        ]
        assert [requests(second) for second in window.seconds] == [second.due for second in window.seconds]
        assert whole.lag.count == len(due)
        assert whole.dropped == 0
        assert [status for _, status, _ in cells(whole)] == ["200"]
        assert (window.open_loop, window.drained, window.stopped, window.length) == (True, True, False, 1.2)
        assert window.generator_cpu > 0
        assert window.started < window.ended


def test_response_counts_from_the_due_moment_for_a_first_request_and_from_sending_for_a_later_one(drive, plan_for):
    driver = drive("""
        from locust import FastHttpUser, task

        class Visitor(FastHttpUser):
            @task
            def get(self):
                self.client.get("/first")
                self.client.get("/second")
    """)
    driver.start()
    whole = driver.drive(plan_for()).whole()
    first, second = whole.cells["/first"]["200"], whole.cells["/second"]["200"]
    assert first.requests == second.requests == whole.lag.count == whole.due
    assert second.response == second.service
    # Each figure is cut to whole microseconds.
    assert abs(first.response.total - first.service.total - whole.lag.total) <= 2 * whole.due


def test_a_stall_shows_in_the_response_time_and_not_in_the_schedule(drive, plan_for, server):
    driver = drive(SIMPLE)
    driver.start()
    driver.drive(plan_for(seconds=0.5))
    server.ask("/__forget")
    server.ask("/__stall?in=0.4&seconds=0.8")
    window = driver.drive(plan_for(rate="100/s", seconds=1.5))
    whole = window.whole()
    assert window.scheduled == requests(whole) == len(server.seen("/page")) == 150
    assert whole.dropped == 0
    # About 80 arrivals were due while the server slept; those of the first half waited 0.4 s or more.
    response = whole.cells["/page"]["200"].response
    assert response.count - response.count_at_or_below(400_000) >= 20
    assert whole.lag.quantile(0.5) < 100_000


def test_an_arrival_that_finds_the_pool_full_is_dropped_and_counted(drive, plan_for, server):
    driver = drive(SIMPLE.replace("/page", "/page?ms=300"))
    driver.start()
    window = driver.drive(plan_for(rate="40/s", profile={"max_in_flight": 3}))
    whole = window.whole()
    assert window.scheduled == whole.due == 40
    assert whole.dropped > 0
    assert requests(whole) == len(server.seen("/page")) == 40 - whole.dropped
    assert max(second.in_flight for second in window.seconds) <= 3


def test_sessions_live_with_their_user_and_on_start_is_not_measured(drive, plan_for, server):
    driver = drive("""
        from locust import FastHttpUser, task

        class Member(FastHttpUser):
            def on_start(self):
                self.client.post("/login?ms=50", name="login")

            @task
            def get(self):
                self.client.get("/page")
    """)
    driver.start()
    first = driver.drive(plan_for(rate="60/s", seconds=0.5))
    logins = len(server.seen("/login"))
    assert list(first.whole().cells) == ["/page"]
    assert first.unmeasured < logins
    assert all("Cookie" in one["headers"] for one in server.seen("/page"))

    second = driver.drive(plan_for(rate="60/s", seconds=0.5, seed=2))
    assert second.unmeasured == len(server.seen("/login")) - logins
    cookies = [one["headers"]["Cookie"] for one in server.seen("/page")]
    assert set(cookies[30:]) & set(cookies[:30])

    server.ask("/__forget")
    driver.drive(plan_for(rate="60/s", seconds=0.3, headers={"X-Variant": "b"}))
    assert len(server.seen("/login")) > 0
    assert all(one["headers"]["X-Variant"] == "b" for one in server.seen())


def test_user_classes_share_the_arrivals_by_weight_and_a_selection_is_kept(drive, plan_for):
    text = """
        from locust import FastHttpUser, task

        class Base(FastHttpUser):
            abstract = True

            @task
            def get(self):
                self.client.get("/", name=type(self).__name__)

        class Often(Base):
            weight = 3

        class Seldom(Base):
            weight = 1

        class Never(Base):
            weight = 5
    """
    driver = drive(text, users=["Often", "Seldom"])
    driver.start()
    whole = driver.drive(plan_for(rate="80/s")).whole()
    assert {name: requests(whole, name) for name in whole.cells} == {"Often": 60, "Seldom": 20}


def test_a_fixed_count_gets_the_share_that_locust_would_give_it(drive, plan_for):
    driver = drive("""
        from locust import FastHttpUser, task

        class Admin(FastHttpUser):
            fixed_count = 2

            @task
            def get(self):
                self.client.get("/", name="admin")

        class Visitor(FastHttpUser):
            @task
            def get(self):
                self.client.get("/", name="visitor")
    """)
    driver.start()
    whole = driver.drive(plan_for(rate="80/s", profile={"max_in_flight": 8})).whole()
    assert {name: requests(whole, name) for name in whole.cells} == {"admin": 20, "visitor": 60}


def test_nested_task_sets_sequences_and_interrupts_keep_their_meaning(drive, plan_for, server):
    driver = drive("""
        from locust import FastHttpUser, SequentialTaskSet, TaskSet, task

        class Checkout(SequentialTaskSet):
            def on_start(self):
                self.client.get("/entered")

            @task
            def one(self):
                self.client.get("/checkout/1")

            @task
            def two(self):
                self.client.get("/checkout/2")

            @task
            def leave(self):
                self.interrupt()

        class Shop(TaskSet):
            @task
            class Inner(TaskSet):
                @task(3)
                def browse(self):
                    self.client.get("/browse")

                @task
                def leave(self):
                    self.interrupt(reschedule=False)

            @task
            def leave(self):
                self.interrupt()

            tasks = [Checkout]

        class Visitor(FastHttpUser):
            tasks = [Shop]
    """)
    driver.start()
    window = driver.drive(plan_for(rate="100/s", profile={"max_in_flight": 20}))
    whole = window.whole()
    # A task that only leaves its set uses up no arrival.
    assert whole.due == requests(whole) == 100
    assert set(whole.cells) == {"/browse", "/checkout/1", "/checkout/2"}
    # Those of users that were made before the window were seen, too.
    assert 0 < window.unmeasured <= len(server.seen("/entered"))
    assert len(server.seen("/checkout/2")) <= len(server.seen("/checkout/1"))
    assert window.user_errors == {}


def test_a_markov_task_set_walks_its_chain(drive, plan_for, server):
    driver = drive("""
        from locust import FastHttpUser, MarkovTaskSet, transition

        class Chain(MarkovTaskSet):
            @transition("b")
            def a(self):
                self.client.get("/a")

            @transition("a")
            def b(self):
                self.client.get("/b")

        class Visitor(FastHttpUser):
            tasks = [Chain]
    """)
    driver.start()
    whole = driver.drive(plan_for(rate="120/s", seconds=0.5)).whole()
    assert requests(whole) == 60
    assert abs(requests(whole, "/a") - requests(whole, "/b")) <= 40


def test_tags_choose_tasks(drive, plan_for):
    text = """
        from locust import FastHttpUser, tag, task

        class Visitor(FastHttpUser):
            @tag("read")
            @task
            def read(self):
                self.client.get("/read")

            @tag("read", "slow")
            @task
            def slow(self):
                self.client.get("/slow")

            @task
            def write(self):
                self.client.post("/write")
    """
    driver = drive(text, tags=["read"], exclude_tags=["slow"])
    driver.start()
    assert list(driver.drive(plan_for(seconds=0.5)).whole().cells) == ["/read"]


@BOTH_CLIENTS
def test_outcomes_failures_and_silence_are_told_apart(drive, plan_for, client):
    driver = drive(f"""
        from locust import {client}, task

        class Visitor({client}):
            @task
            def go(self):
                with self.client.get("/?text=sorry", name="labelled", catch_response=True) as response:
                    if "sorry" in response.text:
                        response.request_meta["context"]["outcome"] = "reviews unavailable"
                with self.client.get("/", name="two", catch_response=True) as response:
                    response.request_meta["context"]["outcome"] = ["red stars", "late"]
                with self.client.get("/", name="disliked", catch_response=True) as response:
                    response.failure("not what I wanted")
                with self.client.get("/?status=404", name="liked", catch_response=True) as response:
                    response.success()
                self.client.get("/?status=503", name="refused")
                self.client.get("/hang-up", name="silent")
                with self.client.get("/hang-up", name="forgiven", catch_response=True) as response:
                    response.success()
    """)
    driver.start()
    window = driver.drive(plan_for(rate="20/s"))
    whole = window.whole()
    assert whole.outcomes == {"labelled": {"reviews unavailable": 20}, "two": {"red stars": 20, "late": 20}}
    figures = {(name, status): (cell.requests, cell.errors, cell.unanswered) for name, status, cell in cells(whole)}
    assert figures == {
        ("labelled", "200"): (20, 0, 0),
        ("two", "200"): (20, 0, 0),
        ("disliked", "200"): (20, 20, 0),
        ("liked", "404"): (20, 0, 0),
        ("refused", "503"): (20, 20, 0),
        ("silent", "0"): (20, 20, 20),
        ("forgiven", "0"): (20, 0, 20),
    }
    assert sum(whole.exceptions.values()) == 20
    assert whole.cells["silent"]["0"].response.count == 0
    assert whole.cells["disliked"]["200"].response.count == 20


def test_a_task_that_raises_is_noted_with_its_line_and_arrivals_go_on(drive, plan_for, server):
    driver = drive("""
        from locust import FastHttpUser, task

        class Visitor(FastHttpUser):
            @task
            def go(self):
                self.client.get("/page")
                raise KeyError("price")
    """)
    driver.start()
    window = driver.drive(plan_for(rate="100/s", seconds=0.5))
    assert requests(window.whole()) == len(server.seen("/page")) == 50
    assert window.user_errors == {"Visitor at loadfile_under_test.py:8: KeyError: 'price'": 50}


def test_users_that_cannot_start_cost_their_arrivals_and_are_noted(drive, plan_for):
    driver = drive("""
        from locust import FastHttpUser, task

        class Visitor(FastHttpUser):
            def on_start(self):
                raise RuntimeError("no account")

            @task
            def go(self):
                self.client.get("/page")
    """)
    driver.start()
    window = driver.drive(plan_for(rate="40/s", seconds=0.5))
    whole = window.whole()
    assert (whole.due, whole.dropped, requests(whole)) == (20, 20, 0)
    assert list(window.user_errors) == ["Visitor at loadfile_under_test.py:6: RuntimeError: no account"]


def test_requests_from_greenlets_of_a_task_belong_to_its_arrival(drive, plan_for, server):
    driver = drive("""
        import gevent
        from gevent.pool import Pool
        from locust import FastHttpUser, task

        class Visitor(FastHttpUser):
            def on_start(self):
                gevent.spawn(self.background)

            def background(self):
                while True:
                    self.client.get("/background")
                    gevent.sleep(0.1)

            @task
            def go(self):
                pool = Pool(2)
                for path in ("/left", "/right"):
                    pool.spawn(self.client.get, path)
                pool.join()
    """)
    driver.start()
    window = driver.drive(plan_for(rate="20/s"))
    whole = window.whole()
    assert {name: requests(whole, name) for name in whole.cells} == {"/left": 20, "/right": 20}
    assert whole.lag.count == 20
    assert window.unmeasured > 0


def test_users_of_any_protocol_are_counted(drive, plan_for):
    driver = drive("""
        from locust import User, events, task

        class Custom(User):
            @task
            def go(self):
                for name, exception in (("good", None), ("bad", ValueError("no"))):
                    events.request.fire(
                        request_type="rpc", name=name, response_time=7, response_length=0, exception=exception, context={}
                    )
    """)
    driver.start()
    whole = driver.drive(plan_for(rate="40/s", seconds=0.5)).whole()
    assert [(name, status) for name, status, _ in cells(whole)] == [("good", "ok"), ("bad", "0")]
    assert whole.exceptions == {"ValueError": 20}
    assert whole.cells["good"]["ok"].service.greatest == 7000


def test_worker_processes_share_one_schedule(drive, plan_for, server):
    text = """
        import os
        from locust import FastHttpUser, task

        class Visitor(FastHttpUser):
            @task
            def go(self):
                self.client.get("/page", headers={"X-Process": str(os.getpid())})
    """
    driver = drive(text, processes=2)
    driver.start()
    live = []
    plan = plan_for(rate="101/s", seed=5)
    window = driver.drive(plan, watch=live.append)
    assert window.scheduled == window.whole().due == requests(window.whole()) == len(server.seen("/page")) == 101
    shares = Counter(one["headers"]["X-Process"] for one in server.seen("/page"))
    assert sorted(shares.values()) == [50, 51]
    assert [second.offset for second in live] == [0]
    assert live[0].due == 101

    server.ask("/__forget")
    closed = driver.drive(plan_for(users=4, seconds=0.5))
    assert requests(closed.whole()) == len(server.seen("/page")) > 0
    assert len(Counter(one["headers"]["X-Process"] for one in server.seen("/page"))) == 2


def test_live_seconds_add_up_to_the_window_even_when_answers_are_late(drive, plan_for):
    driver = drive(SIMPLE.replace("/page", "/page?ms=1200"))
    driver.start()
    live = []
    window = driver.drive(plan_for(rate="20/s", seconds=2), watch=live.append)
    assert [second.offset for second in live] == [0, 1]
    assert sum(second.due for second in live) == 40
    # By the moment they ended: some of the first second's in the second, the others not before the end.
    assert 0 < sum(requests(second) for second in live) < 40
    assert [requests(second) for second in window.seconds] == [second.due for second in window.seconds] == [20, 20]
    assert window.seconds[0].in_flight >= 10


def test_stop_ends_a_window_early_and_drains(drive, plan_for, server):
    driver = drive(SIMPLE.replace("/page", "/page?ms=200"))
    driver.start()
    stop = threading.Event()
    window = driver.drive(plan_for(seconds=60), watch=lambda _second: stop.set(), stop=stop)
    assert window.stopped
    assert window.drained
    assert 1 <= window.length < 30
    assert window.scheduled == window.whole().due == requests(window.whole()) == len(server.seen("/page"))
    assert len(window.seconds) == -(-window.length // 1)
    untouched = driver.drive(plan_for(seconds=60), stop=stop)
    assert (untouched.stopped, untouched.seconds, untouched.scheduled) == (True, [], 0)


def test_a_request_that_outlasts_the_drain_is_cut_and_told(drive, plan_for, server):
    driver = drive(SIMPLE.replace("/page", "/page?ms=4000"))
    driver.start()
    window = driver.drive(plan_for(rate="10/s", seconds=0.5, drain=0.3))
    assert not window.drained
    assert requests(window.whole()) == 0
    assert window.whole().due == 5
    after = driver.drive(plan_for(rate="10/s", seconds=0.1, drain=0.1))
    assert after.unmeasured == 0


def test_a_load_test_shape_is_left_out_and_said_so(drive, plan_for):
    driver = drive(
        SIMPLE
        + """
    from locust import LoadTestShape

    class Steps(LoadTestShape):
        def tick(self):
            return (1000, 1000)
    """
    )
    driver.start()
    assert driver.shape == "Steps"
    assert driver.notes == ["Steps is followed with `users: shape` only: the experiment says how much load there is"]
    assert requests(driver.drive(plan_for(rate="20/s", seconds=0.5)).whole()) == 10


def test_pytest_style_files_are_driven_too(drive, plan_for, server):
    driver = drive(
        """
        def test_page(fastsession):
            fastsession.get("/page")
        """,
    )
    driver.start()
    window = driver.drive(plan_for(rate="40/s", seconds=0.5))
    assert requests(window.whole()) == len(server.seen("/page")) == 20


def test_a_watcher_that_raises_ends_the_load_and_the_next_window_is_whole(drive, plan_for, server):
    driver = drive(SIMPLE.replace("/page", "/page?ms=100"), processes=2)
    driver.start()

    def watch(_second):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        driver.drive(plan_for(seconds=60), watch=watch)
    window = driver.drive(plan_for(rate="20/s", seconds=0.5))
    assert window.scheduled == window.whole().due == requests(window.whole()) == 10
    assert window.unmeasured == 0
    assert len(server.seen("/page")) < 200
