from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import DriverError, InputError
from runner.load.drivers import make_driver
from runner.spec.load_profile import Load

GOOD = """
    from locust import FastHttpUser, task

    class Visitor(FastHttpUser):
        @task
        def get(self):
            self.client.get("/")
"""


def problem_of(driver):
    with pytest.raises(InputError) as caught:
        driver.start()
    assert caught.value.exit_code == 2
    assert "Traceback" not in str(caught.value)
    return caught.value.problems[0]


def test_a_missing_file(tmp_path):
    load = Load.model_validate({"locust": {"file": tmp_path / "nowhere.py"}})
    problem = problem_of(make_driver(load, work_directory=tmp_path))
    assert problem.message == f"the load file {tmp_path / 'nowhere.py'} does not exist"


def test_a_file_that_is_no_python(tmp_path):
    (tmp_path / "load.yaml").write_text("a: b")
    load = Load.model_validate({"locust": {"file": tmp_path / "load.yaml"}})
    assert "is no Python file" in problem_of(make_driver(load, work_directory=tmp_path)).message


def test_a_syntax_error_is_told_with_its_line(drive):
    problem = problem_of(drive("import locust\n\ndef broken(:\n    pass\n"))
    assert Path(problem.where.file).name == "loadfile_under_test.py"
    assert problem.where.line == 3
    assert "SyntaxError: invalid syntax" in problem.message


def test_a_file_that_raises_is_told_with_its_line_and_words(drive):
    problem = problem_of(drive('import os\n\nSECRET = os.environ["THE_TOKEN_NOBODY_SET"]\n'))
    assert problem.where.line == 3
    assert problem.message == "the load file can't be loaded: KeyError: 'THE_TOKEN_NOBODY_SET'"


def test_a_module_that_is_missing_is_told_with_the_line_of_its_import(drive):
    problem = problem_of(drive("import locust\nimport no_such_module_anywhere\n"))
    assert problem.where.line == 2
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in problem.message


def test_a_problem_in_a_module_beside_is_told_where_it_is(drive, tmp_path):
    driver = drive("import helper_that_raises\n")
    (tmp_path / "files" / "helper_that_raises.py").write_text("\n\nraise ValueError('two\\nlines')\n")
    problem = problem_of(driver)
    assert (Path(problem.where.file).name, problem.where.line) == ("helper_that_raises.py", 3)
    assert "ValueError: two\nlines" in problem.message


def test_a_listener_of_init_that_raises_is_told(drive):
    problem = problem_of(
        drive(
            GOOD
            + """
    from locust import events

    @events.init.add_listener
    def on_init(**_):
        raise ValueError("bad list of URLs")
    """
        )
    )
    assert problem.where.line == 13
    assert "ValueError: bad list of URLs" in problem.message


def test_no_user_class(drive):
    assert "has no user class" in problem_of(drive("from locust import FastHttpUser\n\nX = 1\n")).message


def test_a_user_class_without_tasks(drive):
    problem = problem_of(drive("from locust import FastHttpUser\n\nclass Idle(FastHttpUser):\n    pass\n"))
    assert "user class Idle has no tasks" in problem.message


def test_tags_that_leave_no_task(drive):
    assert "user class Visitor has no tasks (after tags" in problem_of(drive(GOOD, tags=["no-such-tag"])).message


def test_an_unknown_user_class_with_a_suggestion(drive):
    problem = problem_of(drive(GOOD, users=["Vistor"]))
    assert problem.message.endswith("has no user class Vistor")
    assert problem.suggestion == "Did you mean Visitor?"


def test_a_file_that_exits(drive):
    problem = problem_of(drive("import sys\n\nsys.exit('set the variable SHOP first')\n"))
    assert "set the variable SHOP first" in problem.message


def test_an_argument_that_locust_does_not_know(drive):
    problem = problem_of(drive(GOOD, args=["--no-such-argument"]))
    assert problem.message == "Locust does not take these arguments: unrecognized arguments: --no-such-argument"


@pytest.mark.parametrize(("argument", "key"), [("--users=7", "users"), ("-t", "duration"), ("--host", "host")])
def test_arguments_that_the_experiment_has_keys_for(drive, argument, key):
    problem = problem_of(drive(GOOD, args=[argument]))
    assert problem.suggestion == f"Use the key {key} of the experiment file"


def test_a_driver_that_was_not_started_says_so(drive, plan_for):
    with pytest.raises(DriverError, match="was not started"):
        drive(GOOD).drive(plan_for())


def test_a_file_named_like_a_module_of_the_standard_library(drive, plan_for, server):
    driver = drive(
        GOOD.replace(
            "self.client",
            "import http.client; from http import HTTPStatus; assert HTTPStatus.OK == 200\n            self.client",
        ),
        name="http.py",
    )
    driver.start()
    window = driver.drive(plan_for(rate="10/s", seconds=0.5))
    assert window.user_errors == {}
    assert len(server.seen("/")) == 5
