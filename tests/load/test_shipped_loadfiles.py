from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from runner.errors import InputError
from runner.load.drivers import make_driver
from runner.mesh.local.apps.bookinfo import reviews
from runner.spec.load_profile import Load

LOADFILES = Path(__file__).parent.parent.parent / "loadfiles"


@pytest.fixture
def shipped(tmp_path):
    drivers = []

    def make(name, **keys):
        driver = make_driver(
            Load.model_validate({"locust": {"file": LOADFILES / name, **keys}}), work_directory=tmp_path
        )
        drivers.append(driver)
        driver.start()
        return driver

    yield make
    for driver in drivers:
        driver.close()


def counts(window):
    return {
        (name, status): cell.requests
        for name, by_status in window.whole().cells.items()
        for status, cell in by_status.items()
    }


def test_bookinfo_visits_the_page_as_two_users_and_signs_jason_in(shipped, plan_for, server):
    window = shipped("bookinfo.py").drive(plan_for(rate="20/s"))
    assert counts(window) == {("/productpage", "200"): 10, ("/productpage as jason", "200"): 10}
    login = server.seen("/login")[0]
    assert (login["method"], login["body"]) == ("POST", "username=jason&passwd=jason")
    signed_in = [one for one in server.seen("/productpage") if "Cookie" in one["headers"]]
    assert len(signed_in) == 10
    # The server's page shows no stars.
    assert window.whole().outcomes == {name: {"no stars": 10} for name in ("/productpage", "/productpage as jason")}


def test_bookinfo_can_be_jason_alone(shipped, plan_for, server):
    window = shipped("bookinfo.py", users=["Jason"]).drive(plan_for(rate="20/s", seconds=0.5))
    assert counts(window) == {("/productpage as jason", "200"): 10}
    assert all("Cookie" in one["headers"] for one in server.seen("/productpage"))


STARS = '<font class="stars" color="{}"><span class="glyphicon glyphicon-star"></span></font>'
SORRY = "Sorry, product {} are currently unavailable for this book."


PAGES = [
    (STARS.format("black"), ["black stars"]),
    (STARS.format("red"), ["red stars"]),
    ("two plain reviews", ["no stars"]),
    (reviews.UNAVAILABLE, ["ratings unavailable"]),
    (SORRY.format("reviews"), ["reviews unavailable"]),
    (SORRY.format("details") + STARS.format("red"), ["details unavailable", "red stars"]),
    (SORRY.format("details") + SORRY.format("reviews"), ["details unavailable", "reviews unavailable"]),
]


def in_plain_python(file: str, expression: str, value: object) -> object:
    """What an expression over a loadfile's names and `value` gives; in a process of its own, for Locust patches all."""
    script = "import json, runpy, sys; names = runpy.run_path(sys.argv[1]); names['value'] = json.loads(sys.argv[3]); "
    script += "print(json.dumps(eval(sys.argv[2], names)))"
    command = [sys.executable, "-c", script, str(LOADFILES / file), expression, json.dumps(value)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_bookinfo_says_what_a_page_showed():
    labels = in_plain_python("bookinfo.py", "[outcomes(page) for page in value]", [page for page, _ in PAGES])
    assert labels == [expected for _, expected in PAGES]


def test_http_asks_for_a_list_with_methods_and_weights(shipped, plan_for, server):
    urls = f"/often 8, GET /status?status=503 1\nPOST /things?text={quote('made')} 1"
    driver = shipped("http.py", args=["--urls", urls, "--body", '{"a": 1}'])
    window = driver.drive(plan_for(rate="100/s"))
    seen = counts(window)
    assert sum(seen.values()) == len(server.seen()) == 100
    assert set(seen) == {("/often", "200"), ("/status?status=503", "503"), ("POST /things?text=made", "200")}
    assert seen["/often", "200"] > 50
    made = server.seen("/things")[0]
    assert (made["method"], made["body"], made["headers"]["Content-Type"]) == ("POST", '{"a": 1}', "application/json")


def test_http_takes_its_list_from_the_environment(shipped, plan_for, server, monkeypatch):
    monkeypatch.setenv("LOADFILE_URLS", "/from-the-environment")
    assert counts(shipped("http.py").drive(plan_for(rate="10/s", seconds=0.5))) == {("/from-the-environment", "200"): 5}


def test_http_reads_methods_and_weights():
    lines = "/a, post /b 2.5\nDELETE https://example.com/c?d=1 1,,"
    entries = in_plain_python("http.py", "[[one.method, one.url, one.weight] for one in parse(value)]", lines)
    assert entries == [["GET", "/a", 1.0], ["POST", "/b", 2.5], ["DELETE", "https://example.com/c?d=1", 1.0]]


@pytest.mark.parametrize("text", ["here", "FETCH /a", "/a 0", "POST", " , "])
def test_http_reads_nothing_else(text):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        in_plain_python("http.py", "parse(value)", text)
    assert "ValueError: --urls: " in caught.value.stderr


def test_http_refuses_a_list_it_cannot_read(shipped):
    with pytest.raises(InputError, match="ValueError: --urls: '/a b' is not ") as caught:
        shipped("http.py", args=["--urls", "/a b"])
    assert Path(caught.value.problems[0].where.file).name == "http.py"


LOG = """\
[2026-11-24T07:04:54.123Z] "GET /productpage HTTP/1.1" 200 - via_upstream - "-" 0 5183 12 11 "-" "curl" "x" "h" "127.0.0.1:9080"
10.0.0.7 - bob [24/Nov/2026:07:04:55 +0000] "GET /reviews/17?page=2 HTTP/2.0" 200 12 "https://shop/" "Mozilla/5.0"
{"method":"HEAD","path":"/health","response_code":200}
{"request":"GET /reviews/18 HTTP/1.1","status":200}
{"request_method":"GET","request_uri":"/productpage"}
[2026-11-24T07:04:56.000Z] "POST /login HTTP/1.1" 302 - via_upstream - "-" 31 0 2 2 "-" "curl" "x" "h" "127.0.0.1:9080"
[2026-11-24T07:04:57.000Z] "- - HTTP/1.1" 400 DPE http1.codec_error - "-" 0 11 0 - "-" "-" "-" "-" "-"
{"method":
10.0.0.8 - - [24/Nov/2026:07:05:00 +0000] "GET http://shop/basket/0f8fad5b-d9cb-469f-a165-70867728950e HTTP/1.1" 200 1 "-" "-"
"""


def requests_of(text, methods=("GET", "HEAD")):
    found = "[one and [one.method, one.path, one.name, weight] for one, weight in read(value[0], set(value[1]))]"
    return in_plain_python("path_mix.py", found, [text, list(methods)])


def test_path_mix_reads_the_access_logs_there_are():
    logged = [
        ["GET", "/productpage", "/productpage", 1.0],
        ["GET", "/reviews/17?page=2", "/reviews/:id", 1.0],
        ["HEAD", "/health", "HEAD /health", 1.0],
        ["GET", "/reviews/18", "/reviews/:id", 1.0],
        ["GET", "/productpage", "/productpage", 1.0],
    ]
    basket = "/basket/0f8fad5b-d9cb-469f-a165-70867728950e"
    last = ["GET", basket, "/basket/:id", 1.0]
    assert requests_of(LOG) == [*logged, None, None, None, last]
    posted = requests_of(LOG, ["POST"])
    assert [one for one in posted if one] == [["POST", "/login", "POST /login", 1.0]]


def test_path_mix_reads_a_list():
    listed = requests_of("# the shop\n/cart 3\n\npost /order/7 .5\nGET /\n")
    assert listed == [["GET", "/cart", "/cart", 3], ["POST", "/order/7", "POST /order/:id", 0.5], ["GET", "/", "/", 1]]


@pytest.mark.parametrize("text", ["/a\nFETCH /b", "/a\ncart", "/a\n/b 0", "/a\n/b -1", "/a\nGET"])
def test_path_mix_reads_nothing_else(text):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        requests_of(text)
    assert "ValueError: line 2: " in caught.value.stderr


def test_path_mix_asks_in_the_recorded_proportions(shipped, plan_for, server, tmp_path):
    (tmp_path / "paths.txt").write_text("/often 8\nPOST /order/7 1\n/seldom?x=1 1\n")
    driver = shipped("path_mix.py", args=["--recorded", str(tmp_path / "paths.txt")])
    seen = counts(driver.drive(plan_for(rate="200/s")))
    assert set(seen) == {("/often", "200"), ("POST /order/:id", "200"), ("/seldom", "200")}
    assert sum(seen.values()) == len(server.seen()) == 200
    assert 130 < seen["/often", "200"] < 190


def test_path_mix_asks_in_the_recorded_order(shipped, plan_for, server, tmp_path, monkeypatch):
    (tmp_path / "shop.log").write_text("\n".join(f'"GET /page-{n} HTTP/1.1"' for n in range(100)))
    monkeypatch.setenv("LOADFILE_RECORDED", "shop.log")
    monkeypatch.setenv("MESHTRIAL_EXPERIMENT", str(tmp_path / "shop.yaml"))
    driver = shipped("path_mix.py", args=["--in-order"], processes=2)
    for _ in range(2):
        driver.drive(plan_for(rate="40/s"))
        assert sorted(one["path"] for one in server.seen()) == sorted(f"/page-{n}" for n in range(40))
        server.ask("/__forget")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "ValueError: --recorded is missing"),
        (["--recorded", "no-such.log"], "--recorded no-such.log: no such file beside the experiment or in"),
        (["--recorded", "{}/shop.log"], "none of its 1 lines is a request with GET or HEAD"),
        (["--recorded", "{}/list.txt"], "line 1: 'what' is neither of an access log nor "),
    ],
)
def test_path_mix_refuses_what_is_no_recording(shipped, tmp_path, args, told):
    (tmp_path / "shop.log").write_text('"POST /login HTTP/1.1" 302\n')
    (tmp_path / "list.txt").write_text("what\n")
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        shipped("path_mix.py", args=[one.replace("{}", str(tmp_path)) for one in args])
    assert Path(caught.value.problems[0].where.file).name == "path_mix.py"


def test_all_run_in_plain_locust(server, tmp_path, monkeypatch):
    (tmp_path / "paths.txt").write_text("/recorded\n")
    monkeypatch.setenv("LOADFILE_RECORDED", str(tmp_path / "paths.txt"))
    running = []
    for name in ("bookinfo.py", "http.py", "path_mix.py"):
        command = [sys.executable, "-m", "locust", "-f", str(LOADFILES / name), "--headless", "--only-summary"]
        command += ["-u", "4", "-r", "10", "-t", "3s", "--host", server.url]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    assert len(server.seen("/productpage")) >= 4
    assert len(server.seen("/")) >= 4
    assert len(server.seen("/recorded")) >= 4
