"""`circlepay <verb>`: what to do with a stack from its second day on. Thin: each verb is a module of infra.operations.

Exit codes: 0 done, 1 failed (a wrong command line too), 2 drift or findings.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from infra.changes import asking
from infra.endpoint import SERVERS
from infra.errors import CirclePayError
from infra.version import VERSION
from tools.running import ToolError, say

DONE, FAILED, DIFFERS = 0, 1, 2
MOST_ROUNDS = 100_000

F = TypeVar("F", bound=Callable[..., Any])


def stack_option(command: F) -> F:
    """The option every verb has."""
    text = "The stack: local, dev, prod or any other."
    option = click.option("--stack", envvar="STACK", default="local", show_default=True, show_envvar=True, help=text)
    return option(command)


def json_option(command: F) -> F:
    """For every verb that prints something to read."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command)


class Verb(click.Command):
    """A command whose sentence is never cut off in the list of all verbs."""

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first sentence of the help, whatever its length."""
        return super().get_short_help_str(max(limit, 1000))


class Verbs(click.Group):
    """All verbs."""

    command_class = Verb


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="circlepay", message="%(prog)s %(version)s")
def cli() -> None:
    """Look after a CirclePay stack: PostgreSQL and Redis.

    `up` brings a stack up and repairs it; the other verbs look at it and work with it.

    Exit codes: 0 done, 1 failed, 2 drift or findings.
    """


def _print_json(value: object) -> None:
    from infra.operations import display

    click.echo(display.as_json(value))


@cli.command()
@stack_option
def up(stack: str) -> int:
    """Bring a stack up, or repair drift, and end with a summary.

    Makes the stack where there is none, and goes on where a run was killed.
    """
    from infra.operations import up as operation

    return FAILED if operation.run(stack) else _print_summary(stack, as_json=False)


@cli.command()
@stack_option
@click.option(
    "--data",
    envvar="DATA",
    default="keep",
    metavar="keep|delete",
    show_default=True,
    show_envvar=True,
    help="Delete the data too, and the passwords made for it.",
)
@click.option(
    "--confirm",
    envvar="CONFIRM",
    default="",
    metavar="WORD",
    show_envvar=True,
    help="The word `delete` answers beforehand what --data delete asks on a terminal.",
)
def down(stack: str, data: str, confirm: str) -> int:
    """Stop the servers and keep the data, or delete it."""
    from infra.operations import down as operation

    return FAILED if operation.run(stack, data=data, confirm=confirm) else DONE


@cli.command()
@stack_option
def adopt(stack: str) -> int:
    """Make the servers of this clone its own again after it was moved.

    Refused in a copy, as long as the clone that made them is still there.
    """
    from infra.operations import adopt as operation
    from infra.operations import stack as stacks

    before = operation.run(stack)
    told = f", made in {before}, are this clone's now" if before else " are this clone's own already"
    click.echo(f"the servers of stack {stack}{told}\n  -> `{stacks.up_hint(stack)}` goes on with them")
    return DONE


@cli.command()
@stack_option
@json_option
@click.option("--server", type=click.Choice(SERVERS), multiple=True, help="Only this server; may be repeated.")
@click.option("--query", "names", multiple=True, help="Only the query of this name; may be repeated.")
@click.option("--all", "whole", is_flag=True, help="Every answer whole, and not in one line.")
@click.option("--explain", is_flag=True, help="Say how to read each answer, all of them whole.")
@click.option("--watch", type=click.FloatRange(min=0.1), help="Ask again every so many seconds.")
@click.option("--count", type=click.IntRange(1, MOST_ROUNDS), help=f"With --watch: how often [default: {MOST_ROUNDS}].")
def monitor(  # noqa: PLR0917  (one parameter per option)
    stack: str,
    as_json: bool,
    server: tuple[str, ...],
    names: tuple[str, ...],
    whole: bool,
    explain: bool,
    watch: float | None,
    count: int | None,
) -> int:
    """Run every monitoring query of PostgreSQL and Redis; a line for each, or whole answers.

    The queries of PostgreSQL are the files of sql/monitoring; psql runs them too. With --watch and --json, each
    round is one JSON document.

    Exit code 1 when a server is down or a query fails.
    """
    from infra.operations import display, overview
    from infra.operations import monitor as operation
    from infra.operations import stack as stacks

    view = stacks.load(stack)
    rounds = (count or MOST_ROUNDS) if watch else 1
    code = DONE
    for number in range(rounds):
        if number:
            time.sleep(watch or 0)
        found = operation.run(view, server or SERVERS, names)
        if as_json:
            _print_json([table.as_dict() for table in found])
        else:
            console = display.console()
            if watch and sys.stdout.isatty():
                console.clear()
            if names or whole or explain:
                display.tables(console, found, explain=explain)
            else:
                display.overview(console, overview.lines(found))
        code = FAILED if any(table.problem for table in found) else DONE
    return code


@cli.command()
@stack_option
@json_option
@click.option(
    "--drift/--no-drift", default=True, show_default=True, help="Compare everything with the declaration too."
)
@click.option("--strict", is_flag=True, help="Findings that wait for a decision make exit code 2 as well.")
def status(stack: str, as_json: bool, drift: bool, strict: bool) -> int:
    """Say what runs where, whether the env file is current, and what drifted.

    Looking for drift takes a few seconds: it is a preview of `up`. Without it the answer is immediate.

    Exit code 2 when a server is down, the env file is not current or anything drifted; 1 when there is no such stack.
    """
    from infra.operations import display
    from infra.operations import stack as stacks
    from infra.operations import status as operation

    found = operation.read(stacks.load(stack), look_for_drift=drift)
    if as_json:
        _print_json(found.as_dict())
    else:
        display.status(display.console(), found)
    return DONE if found.well and not (strict and asking(found.findings)) else DIFFERS


@cli.command()
@stack_option
@click.option("--server", type=click.Choice(SERVERS), multiple=True, help="Whose log; may be repeated [default: both].")
@click.option(
    "--lines", type=click.IntRange(0, 100_000), default=50, show_default=True, help="How many of the last lines."
)
@click.option("--follow", is_flag=True, help="Go on with every new line until Ctrl-C.")
def logs(stack: str, server: tuple[str, ...], lines: int, follow: bool) -> int:
    """Show the end of the servers' logs.

    With --follow, lines of both servers are told apart by the name in front.
    """
    from infra.operations import logs as operation
    from infra.operations import stack as stacks

    view = stacks.load(stack)
    servers = {name: view.server(name) for name in server or SERVERS}
    found = {name: each.log for name, each in servers.items()}
    for line in operation.shown(found, lines, following=follow):
        click.echo(line)
    return DONE


@cli.command()
@stack_option
@json_option
@click.option("--server", type=click.Choice(SERVERS), multiple=True, help="Which one; may be repeated [default: both].")
def restart(stack: str, as_json: bool, server: tuple[str, ...]) -> int:
    """Restart servers with the settings of the last `up`, and wait until they answer.

    Connections are ended in the server's own orderly way; nothing is ever killed, and no data is touched.
    """
    from infra.operations import restart as operation
    from infra.operations import stack as stacks

    view = stacks.load(stack)
    versions = {}
    for name in server or SERVERS:
        versions[name] = operation.run(view, name, progress=lambda text: click.echo(text, err=True))
        if not as_json:
            click.echo(f"{name} {versions[name]} is up on {view.server(name).endpoint}")
    if as_json:
        _print_json([{"name": name, "version": version} for name, version in versions.items()])
    return DONE


CLIENT = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@cli.command(context_settings=CLIENT)
@stack_option
@click.option("--application", is_flag=True, help="Connect as the application's role instead of the superuser.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(stack: str, application: bool, arguments: tuple[str, ...]) -> int:
    """Open psql on the stack's database; ARGUMENTS go to psql.

    \b
    circlepay psql
    circlepay psql -- -c 'SELECT count(*) FROM users'
    circlepay psql -- -f sql/monitoring/table_sizes.sql

    The password reaches psql through a file without a name: it is in no argument list, environment or history.
    """
    from infra.operations import clients
    from infra.operations import stack as stacks

    view = stacks.load(stack)
    return clients.run_psql(view, view.application_login() if application else view.admin_login(), arguments)


@cli.command("redis-cli", context_settings=CLIENT)
@stack_option
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def redis_cli(stack: str, words: tuple[str, ...]) -> int:
    """Send one command to the stack's Redis, or open a line client.

    \b
    circlepay redis-cli ping
    circlepay redis-cli info memory
    echo 'dbsize' | circlepay redis-cli

    A client of this package's own: nothing has to be installed, and the password is in no argument list or environment.
    """
    from infra.operations import clients
    from infra.operations import stack as stacks

    view = stacks.load(stack)
    if words:
        click.echo(clients.run_redis(view.redis_login(), words))
        return DONE
    for answer in clients.redis_lines(view.redis_login(), clients.typed(str(view.server("redis").endpoint))):
        if answer:
            click.echo(answer)
    return DONE


@cli.command()
@stack_option
@json_option
def summary(stack: str, as_json: bool) -> int:
    """Say what the last `up` created or changed and why, where everything is, and what to type next."""
    return _print_summary(stack, as_json=as_json)


def _print_summary(stack: str, *, as_json: bool) -> int:
    from infra.operations import display
    from infra.operations import summary as operation

    found = operation.read(stack)
    if as_json:
        _print_json(found.as_dict())
    else:
        display.summary(display.console(), found)
    return DONE


@cli.command()
@stack_option
@json_option
@click.option("--all", "notes", is_flag=True, help="What is kept as documented too, with what that costs.")
def findings(stack: str, as_json: bool, notes: bool) -> int:
    """List what was found and only a decision of yours can settle, with cost and remedy.

    Exit code 2 when there are any; what is kept as documented does not count.
    """
    from infra.operations import display, status
    from infra.operations import stack as stacks

    found = status.findings(stacks.load(stack))
    if as_json:
        _print_json(found)
    else:
        display.findings(display.console(), found, notes=notes)
    return DIFFERS if asking(found) else DONE


@cli.command()
@stack_option
@json_option
@click.option("--create", is_flag=True, help="Make the stack first where there is none and its file is there.")
def preview(stack: str, as_json: bool, create: bool) -> int:
    """List what an `up` would change: reason, lock, reload or restart, and whether it can be taken back.

    Nothing is touched. Exit code 2 when there is anything to change.
    """
    from infra.operations import display
    from infra.operations import preview as operation
    from infra.operations import up as ups

    if create:
        ups.create(stack, declared=True)
    found = operation.run(stack)
    if as_json:
        _print_json([item.as_dict() for item in found.planned])
    else:
        display.preview(display.console(), found)
    return DIFFERS if found.planned else DONE


@cli.command()
@stack_option
@json_option
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write a JUnit report to this file.")
def verify(stack: str, as_json: bool, junit: Path | None) -> int:
    """Look at the running stack from outside: settings, objects, privileges, files, listening addresses.

    Exit code 2 when a check failed.
    """
    from infra.operations import verify as operation

    return int(operation.run(stack, junit, as_json))


@cli.command()
@click.option("--confirm", default="", metavar="WORD", help="The word `purge` answers the question beforehand.")
def purge(confirm: str) -> int:
    """Remove everything this clone put on the machine, data included.

    All stacks are taken down for good. Lists what goes, and asks first.
    """
    from infra.operations import purge as operation

    return operation.run(confirm)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command and leaves with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale that lacks a letter costs that letter, not the command
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """The command's exit code; errors are told on standard error, with --json as JSON on standard output."""
    try:
        result = cli.main(arguments, prog_name="circlepay", standalone_mode=False)
    except (CirclePayError, ToolError) as error:
        if "--json" in arguments and isinstance(error, CirclePayError):
            _print_json(error.as_dict())
        else:
            say(str(error))
        return FAILED
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return result if isinstance(result, int) else DONE


if __name__ == "__main__":
    main()
