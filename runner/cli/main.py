"""The command `meshtrial`: its sub-commands, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from runner import __version__
from runner.cli.capacity import capacity
from runner.cli.doctor import doctor
from runner.cli.init import init
from runner.cli.list import list_runs
from runner.cli.mesh import mesh
from runner.cli.plan import plan
from runner.cli.push import push
from runner.cli.recover import recover
from runner.cli.report import report
from runner.cli.run import run
from runner.cli.schema import schema
from runner.cli.streams import make_unbreakable
from runner.cli.validate import validate
from runner.errors import MeshtrialError, StoppedError

if TYPE_CHECKING:
    from types import FrameType


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="meshtrial")
def cli() -> None:
    """What an Istio resilience setting or a fault does to a service, with evidence.

    Exit codes: 0 pass, 1 fail, 2 bad input, 3 the mesh or a driver could not do its part, 4 stopped by a guardrail,
    5 inconclusive, 130 and 143 interrupted (and restored).
    """


for command in (run, capacity, validate, plan, report, list_runs, recover, doctor, push, schema, init, mesh):
    cli.add_command(command)


class _Stop(BaseException):
    """A signal, on its way out through every `finally`; nothing on that way may take it for an error to handle."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)  # cleaning up is under way, and a second signal must not cut it short
    raise _Stop(number)


def _end_by_signals() -> None:
    """Have SIGINT, SIGTERM and the end of the terminal leave through every `finally`; `nohup` keeps its meaning."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _stop)


def say(text: str) -> None:
    """A line on standard error, where messages go."""
    print(text, file=sys.stderr, flush=True)


def main() -> NoReturn:
    """Run the command line and leave with its exit code; a person never sees a traceback."""
    make_unbreakable()
    _end_by_signals()
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        code = cli.main(prog_name="meshtrial", standalone_mode=False)
        sys.stdout.flush()
    except (_Stop, click.exceptions.Abort) as stop:
        stopped = StoppedError(getattr(stop, "number", signal.SIGINT))
        say(f"meshtrial: {stopped}")
        return stopped.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except MeshtrialError as error:
        say(f"meshtrial: {error}")
        return error.exit_code
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"meshtrial: {where}{error.strerror or error}")
        return 3
    except Exception:  # noqa: BLE001 - the last net: a defect is told in a sentence, its traceback goes to a file
        say(f"meshtrial: this is a defect of meshtrial, not of your input. Please report it with {_keep_traceback()}")
        return 3
    return code if isinstance(code, int) else 0


def _keep_traceback() -> str:
    import tempfile  # noqa: PLC0415 - for defects only
    import traceback  # noqa: PLC0415 - for defects only

    try:
        with tempfile.NamedTemporaryFile("w", prefix="meshtrial-defect-", suffix=".txt", delete=False) as file:
            file.write(f"meshtrial {__version__}, {sys.argv}\n\n{traceback.format_exc()}")
            return file.name
    except OSError:
        return traceback.format_exc(limit=-1).strip().splitlines()[-1]


if __name__ == "__main__":
    main()
