"""Every command and every option explains itself, and the whole is quick to say so."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from runner.cli.main import cli


def every_command(command, path=()):
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from every_command(inner, (*path, name))


COMMANDS = dict(every_command(cli))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_it_has_help(path):
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts} of {' '.join(path)}"
    result = CliRunner().invoke(cli, [*path, "--help"])
    assert result.exit_code == 0
    assert command.help.split(".")[0].split(":")[0].split("\n")[0][:40] in " ".join(result.output.split())


def test_the_commands_of_the_design_are_there():
    names = {" ".join(path) for path in COMMANDS}
    assert {"run", "validate", "plan", "report", "list", "recover", "schema", "init"} <= names
    assert {f"mesh {name}" for name in ("up", "down", "status", "apply", "delete", "get", "stats", "logs")} <= names


def test_a_group_without_a_command_says_what_there_is(desk):
    for arguments in ((), ("mesh",)):
        result = desk.run(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert "Commands:" in result.stderr


def test_help_loads_nothing_that_is_slow():
    probe = (
        "import sys; sys.argv = ['meshtrial', '--help']\n"
        "from runner.cli.main import cli\n"
        "cli.main(standalone_mode=False)\n"
        "slow = {'pandas', 'scipy', 'kubernetes', 'pydantic', 'rich', 'jinja2', 'locust', 'yaml'}\n"
        "sys.exit(', '.join(slow & {name.partition('.')[0] for name in sys.modules}) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
