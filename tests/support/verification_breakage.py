"""A promise broken on purpose, and the ways to break one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.placements import wait_until
from tests.support.verification_stack import Clients, Stack

Step = Callable[[Any], object]
"""Does something to a Stack, or to a ContainerStack."""


@dataclass(frozen=True)
class Breakage:
    """What is broken, how, how it is put right again, and which checks notice. structural: all of them are."""

    name: str
    do: Step
    undo: Step
    fails: frozenset[str]
    structural: bool = False


def by_sql(name: str, do: str, undo: str, *fails: str, structural: bool = False) -> Breakage:
    """Broken by SQL; several statements are separated by `;;`."""

    def step(text: str) -> Step:
        return lambda stack: stack.sql(*text.split(";;"))

    return Breakage(name, step(do), step(undo), frozenset(fails), structural)


def by_system_setting(setting: str, value: str, *fails: str) -> Breakage:
    """Broken by ALTER SYSTEM and a reload."""

    def step(text: str) -> Step:
        def run(stack: Clients) -> None:
            stack.sql(text)
            reload(stack)

        return run

    return Breakage(
        f"{setting} {value}",
        step(f"ALTER SYSTEM SET {setting} = {value}"),
        step(f"ALTER SYSTEM RESET {setting}"),
        frozenset(fails),
    )


def by_redis(name: str, do: tuple[str, ...], undo: tuple[str, ...], *fails: str) -> Breakage:
    return Breakage(name, lambda stack: stack.redis(do), lambda stack: stack.redis(undo), frozenset(fails))


def by_mode(path: str, broken: int, right: int, *fails: str) -> Breakage:
    def step(mode: int) -> Step:
        return lambda stack: (stack.folder / path).chmod(mode)

    return Breakage(f"{path} {broken:o}", step(broken), step(right), frozenset(fails))


def by_rules(name: str, line: str, *fails: str) -> Breakage:
    """Broken by another pg_hba.conf."""

    def step(text: str) -> Step:
        def run(stack: Stack) -> None:
            path = stack.folder / "postgres" / "config" / "pg_hba.conf"
            path.write_text(text + "\n", encoding="utf-8")
            reload(stack)

        return run

    return Breakage(name, step(line), step("host all all 127.0.0.1/32 scram-sha-256"), frozenset(fails))


def by_restart(name: str, server: str, more: Callable[[Stack], list[str]], *fails: str) -> Breakage:
    """Broken by starting a server with other arguments."""

    def do(stack: Stack) -> None:
        stack.stop(server)
        stack.start(server, *more(stack))

    def undo(stack: Stack) -> None:
        stack.stop(server)
        stack.start(server)

    return Breakage(name, do, undo, frozenset(fails))


def reload(stack: Clients) -> None:
    """SIGHUP, and wait until the postmaster has read its files; at most 5 s."""
    before = _load_time(stack)
    stack.sql("SELECT pg_reload_conf()", database="postgres")
    wait_until(lambda: _load_time(stack) != before, seconds=5)


def _load_time(stack: Clients) -> object:
    with stack.connect("postgres") as connection:
        return connection.execute("SELECT pg_conf_load_time()").fetchone()
