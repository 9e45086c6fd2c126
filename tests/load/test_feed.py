"""Rows of data: every arrival its own, the same for equal seeds, no row twice however many processes share the load."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.load import feed as module
from runner.load.feed import Feed, begin_window


@pytest.fixture(autouse=True)
def _alone():
    yield
    module._share = module._Share()


@given(st.integers(1, 40), st.integers(1, 7), st.integers(0, 9), st.booleans())
def test_processes_hand_out_together_what_one_would(rows, of, seed, shuffled) -> None:
    whole = Feed(range(rows), shuffled=shuffled)
    begin_window(seed, 0, 1)
    expected = [whole.next() for _ in range(2 * rows)]
    assert Counter(expected) == dict.fromkeys(range(rows), 2)
    found = {}
    for index in range(of):
        part = Feed(range(rows), shuffled=shuffled)
        begin_window(seed, index, of)
        found.update({place: part.next() for place in range(index, 2 * rows, of)})
    assert [found[place] for place in range(2 * rows)] == expected


def test_a_window_begins_anew_and_users_keep_theirs() -> None:
    rows = Feed("abcdef")
    begin_window(1, 0, 2)
    assert [rows.next(), rows.next(), rows.next_for_user()] == ["a", "c", "a"]
    begin_window(2, 0, 2)
    assert [rows.next(), rows.next_for_user(), rows.next_for_user()] == ["a", "c", "e"]
    assert len(rows) == 6


def test_the_seed_decides_a_shuffled_order() -> None:
    rows = Feed(range(100), shuffled=True)
    orders = []
    for seed in (1, 2, 1):
        begin_window(seed, 0, 1)
        orders.append([rows.next() for _ in range(100)])
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[1]) == list(range(100))


def test_a_csv_file(tmp_path) -> None:
    file = tmp_path / "books.csv"
    file.write_text('\ufeffid,title\n1,"Much, Ado"\n2,☃\n', encoding="utf-8")
    assert [dict(row) for row in Feed.csv(file)._rows] == [{"id": "1", "title": "Much, Ado"}, {"id": "2", "title": "☃"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,title\n1,x\n2\n", r"books.csv:3: this row has more or fewer"),
        ("id,title\n1,x,y\n", r"books.csv:2: this row has more or fewer"),
        ("id,title\n", r"books.csv: no rows"),
        ("", r"books.csv: no rows"),
    ],
)
def test_a_csv_file_that_is_none(tmp_path, text, told) -> None:
    file = tmp_path / "books.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=told):
        Feed.csv(file)
    with pytest.raises(ValueError, match="at least one row"):
        Feed([])


READERS = """
    from pathlib import Path
    from locust import FastHttpUser, task
    from runner.load.feed import Feed

    books = Feed.csv(Path(__file__).with_name("books.csv"))
    accounts = Feed.csv(Path(__file__).with_name("accounts.csv"))

    class Reader(FastHttpUser):
        def on_start(self):
            self.account = accounts.next_for_user()["name"]

        @task
        def read(self):
            self.client.get(f"/book/{books.next()['id']}/{self.account}", name="/book")
"""


@pytest.mark.parametrize("shared", [{}, {"processes": 2}, {"workers": 2}], ids=["alone", "processes", "workers"])
def test_every_arrival_has_its_row_whoever_sends_it(drive, plan_for, server, tmp_path, shared) -> None:
    driver = drive(READERS, **shared)
    files = tmp_path / "files"
    (files / "books.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(100)))
    (files / "accounts.csv").write_text("name\n" + "".join(f"{n}\n" for n in range(500)))
    driver.start()
    for seed in (1, 2):
        window = driver.drive(plan_for(rate="60/s", seed=seed))
        assert window.whole().cells["/book"]["200"].requests == 60
        asked = [one["path"].split("/")[2:] for one in server.seen()]
        assert Counter(int(book) for book, _ in asked) == dict.fromkeys(range(60), 1)
        assert {int(account) % 2 for _, account in asked} == {0, 1}  # every second row is the other process's
        server.ask("/__forget")
