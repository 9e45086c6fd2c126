"""The command `meshtrial`: its sub-commands, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

import click

from runner import __version__
from runner.cli.init import init
from runner.cli.list import list_runs
from runner.cli.mesh import mesh
from runner.cli.plan import plan
from runner.cli.recover import recover
from runner.cli.report import report
from runner.cli.run import run
from runner.cli.schema import schema
from runner.cli.validate import validate
from runner.errors import MeshtrialError

_SIGINT = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="meshtrial")
def cli() -> None:
    """What an Istio resilience setting or a fault does to a service, with evidence.

    Exit codes: 0 pass, 1 fail, 2 bad input, 3 the mesh or a driver could not do its part, 4 stopped by a guardrail,
    5 inconclusive, 130 and 143 interrupted (and restored).
    """


for command in (run, validate, plan, report, list_runs, recover, schema, init, mesh):
    cli.add_command(command)


def say(text: str) -> None:
    """A line on standard error, where messages go."""
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


def main() -> NoReturn:
    """Run the command line and leave with its exit code; a person never sees a traceback."""
    try:
        code = cli.main(prog_name="meshtrial", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.exceptions.Abort, KeyboardInterrupt):
        say("stopped")
        sys.exit(_SIGINT)
    except MeshtrialError as error:
        say(f"meshtrial: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"meshtrial: {where}{error.strerror or error}")
        sys.exit(3)
    except Exception:  # noqa: BLE001 - the last net: a defect is told in a sentence, its traceback goes to a file
        say(f"meshtrial: this is a defect of meshtrial, not of your input. Please report it with {_keep_traceback()}")
        sys.exit(3)


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
