"""(c) A refreshed `up` that finds nothing to do, against a provider that does nothing, and against Ansible."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.bench import programs
from tests.bench.ansible_peer import Ansible, Keeping
from tests.bench.by_hand import running_postgres
from tests.bench.cold import fresh_clone
from tests.bench.pairs import compared, interleaved, timed
from tests.bench.progress import say
from tests.bench.report import Report
from tests.support.clones import Clone

OURS, NOTHING, ANSIBLE = "refreshed up, nothing to do", "up of a do-nothing provider", "Ansible, nothing to do"


def measure(folder: Path, rounds: int, report: Report, *, pulumi: bool = True, ansible: bool = True) -> None:
    """Adds the comparisons to the report. pulumi, ansible: which of the two references."""
    with ExitStack() as stack:
        keeping = stack.enter_context(_kept_by_ansible(folder, report)) if ansible else None
        if keeping is None and not pulumi:
            return
        clone = stack.enter_context(live_clone(folder))
        sides: dict[str, Callable[[], float]] = {OURS: lambda: timed(lambda: clone.up().expect())}
        if pulumi:
            sides[NOTHING] = _do_nothing(folder, len(custom_resources(clone)))
        if keeping is not None:
            sides[ANSIBLE] = lambda: timed(keeping.run_finding_nothing)
        measured = interleaved(sides, rounds)
        refuse_changes(clone)
    comparisons = []
    if NOTHING in measured:
        comparisons.append(compared(OURS, measured[OURS], NOTHING, measured[NOTHING], aim=1.2))
    if ANSIBLE in measured:
        comparisons.append(compared(OURS, measured[OURS], ANSIBLE, measured[ANSIBLE], aim=5.0, faster=True))
    report.add(measured, *comparisons)


@contextmanager
def live_clone(folder: Path) -> Iterator[Clone]:
    """A stack that is up and verified."""
    clone = fresh_clone(folder)
    say("bringing up a stack")
    try:
        clone.up().expect()
        yield clone
    finally:
        clone.end()


def custom_resources(clone: Clone) -> list[dict[str, Any]]:
    """The stack's resources as its state holds them, secrets in plain, without the stack itself and the provider."""
    exported = json.loads(clone.pulumi("stack", "export", "--show-secrets", "--stack", clone.stack).expect().output)
    return [
        resource
        for resource in exported["deployment"]["resources"]
        if resource.get("custom") and not resource["type"].startswith("pulumi:")
    ]


def _do_nothing(folder: Path, resources: int) -> Callable[[], float]:
    say(f"bringing up a do-nothing program with {resources} resources")
    program = programs.program("do_nothing", folder)
    environment = {"DO_NOTHING_RESOURCES": str(resources)}
    programs.bring_up(program, **environment)
    return lambda: timed(lambda: programs.bring_up(program, **environment))


@contextmanager
def _kept_by_ansible(folder: Path, report: Report) -> Iterator[Keeping | None]:
    """Objects on a server of their own that Ansible has made; None, with a note, where there is no Ansible."""
    ansible = Ansible.find()
    if isinstance(ansible, str):
        report.notes.append(f"Not compared with Ansible: {ansible}")
        say(report.notes[-1])
        yield None
        return
    report.notes.append(
        f"Ansible: {ansible.version}, with community.postgresql, object by object, on a server that runs."
    )
    with running_postgres(folder / "ansible") as machine:
        keeping = Keeping.prepare(ansible, folder / "ansible" / "files", machine.login("postgres"))
        say("Ansible makes its objects")
        keeping.run()
        yield keeping


def refuse_changes(clone: Clone) -> None:
    """What was measured as a no-op must have been one."""
    text = clone.pulumi("stack", "history", "--json", "--page-size", "1", "--stack", clone.stack).expect().output
    changes = json.loads(text)[0]["resourceChanges"]
    assert changes.keys() == {"same"}, f"the last `up` was to find nothing to do, and did {changes}"
