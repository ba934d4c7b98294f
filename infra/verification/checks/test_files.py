"""Data, configuration, secrets and logs are accessible to the server's user only."""

from __future__ import annotations

import pytest

from infra.endpoint import SERVERS
from infra.verification.checks.expectation import expect, expect_that
from infra.verification.checks.machine import Entry, Machine
from infra.verification.subject import Subject

PRIVATE_FOLDERS = ("data", "config", "secrets", "logs")


def _owner(machine: Machine, subject: Subject, server: str) -> str:
    return subject.servers[server].location.user or machine.whoami


def _open_to_others(entry: Entry) -> bool:
    return int(entry.mode, 8) & 0o077 != 0


@pytest.mark.parametrize("server", SERVERS)
def test_folder_exists(machine: Machine, subject: Subject, server: str) -> None:
    folder = subject.servers[server].placeholders["data"]
    expect_that(folder in machine.entries, f"a folder {folder}", "it does not exist")


@pytest.mark.parametrize("folder", PRIVATE_FOLDERS)
@pytest.mark.parametrize("server", SERVERS)
def test_private_folder(machine: Machine, subject: Subject, server: str, folder: str) -> None:
    path = subject.servers[server].placeholders[folder]
    entry = machine.entries.get(path)
    # A server without files of this kind has no folder for them.
    if entry is None and folder in ("config", "secrets"):
        return
    expect_that(entry is not None, f"a folder {path}", "it does not exist")
    if entry is not None:
        expect(
            (entry.owner, entry.mode), (_owner(machine, subject, server), "700"), f"run `make up`, or chmod 700 {path}"
        )


@pytest.mark.parametrize("kind", ["config", "secrets"])
@pytest.mark.parametrize("server", SERVERS)
def test_private_files(machine: Machine, subject: Subject, server: str, kind: str) -> None:
    inside = f"{subject.servers[server].placeholders[kind]}/"
    files = [entry for path, entry in machine.entries.items() if path.startswith(inside)]
    opened = [f"{entry.path} has mode {entry.mode}" for entry in files if _open_to_others(entry)]
    expect(opened, [], "run `make up`, or chmod 600 these files; change the secrets in them if others use this machine")
    owners = {entry.path: entry.owner for entry in files}
    foreign = [path for path, owner in owners.items() if owner not in (_owner(machine, subject, server), "root")]
    expect(foreign, [], "these files belong to another user: run `make up`, or chown them")
