"""What Locust does at its own start-up and shall not do here, or shall do otherwise."""

from __future__ import annotations

import contextlib
import logging
import resource
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import locust.main

from runner.load.child import gate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from locust.env import Environment

logger = logging.getLogger("locust.meshtrial")


def open_as_many_files_as_allowed() -> None:
    """Every user holds a connection; Locust itself raises the limit to 10,000 files only."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS takes no unlimited soft limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def patch_pytest_loading() -> None:
    """Locust tries a file without user classes as a pytest file: not the plugin, and gently.

    One that can't be collected simply has no user class.
    """
    original = locust.main.load_locustfile_pytest
    plugin = str(Path(__file__).resolve().parent.parent / "locust_plugin.py")

    def load(path: str) -> dict[str, Any]:
        if path == plugin:
            return {}
        try:
            classes: dict[str, Any] = original(path)
        except Exception:  # noqa: BLE001 - pytest's own words would hide that there simply is no user class
            logger.debug("not a pytest file: %s", traceback.format_exc())
            return {}
        for cls in classes.values():
            for function in cls.functions:
                function.obj = gate.gated_function(function.obj)
        return classes

    locust.main.load_locustfile_pytest = load


def ignore_config_files(parser: Any, **_others: Any) -> None:
    """The experiment says how it is run; a `locust.conf` that happens to lie about does not."""
    parser._default_config_files = []  # noqa: SLF001 - there is no public way


def standard_modules() -> dict[str, ModuleType]:
    """The modules of the standard library that are imported now, by name."""
    return {name: module for name, module in sys.modules.items() if name in sys.stdlib_module_names}


def restore_standard_modules(standard: Mapping[str, ModuleType]) -> None:
    """Locust registers a loadfile by its bare name: `http.py` must not stand for the standard library's."""
    for name, module in standard.items():
        if sys.modules.get(name) is not module:
            sys.modules[name] = module


def leave_load_to_the_driver(environment: Environment, runner: Any) -> None:
    """No users by Locust itself, no end by itself, and no exit code of its own."""
    options = environment.parsed_options
    options.run_time = None
    options.exit_code_on_error = 0  # failed requests are a result; whoever keeps a worker running need not mind them
    # Locust would now start users by itself.
    runner.start = lambda *_args, **_kwargs: None
    environment._filter_tasks_by_tags()  # noqa: SLF001 - as Locust's runners do
