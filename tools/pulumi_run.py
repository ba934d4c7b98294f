"""Runs `pulumi up` or `pulumi destroy` and tells in short lines what happens; the engine itself tells it in a hundred.

    python -m tools.pulumi_run STACK up|destroy [OPTION...]

Pulumi writes its events as JSON, one a line. Shown are: what a resource says while it works, what changed, warnings,
errors (last, so that they are what remains on the screen), and after two silent seconds what is still at work.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any

from infra.operations import docker_steps, engine_errors
from tools import dead_lock
from tools.paths import make_private
from tools.running import say

SILENT_SECONDS = 2.0
QUIET = frozenset({"same", "read", "refresh", "discard", "read-discard"})
"""Operations of Pulumi that change nothing outside its state."""

HALF_DONE = frozenset({"replace", "delete-replaced"})
"""Operations told once the whole replacement is done, by `create-replacement`."""

REASON = " — "
"""What stands between a change and why it is made, which the summary tells."""

LOCKED = "is currently locked by"
"""Pulumi's words where another run has begun between our look at the lock and Pulumi's own."""

ENGINE_NOISE = ("error: update failed", "error: destroy failed", "error: 1 error occurred")
"""Says again that something failed, after what failed has been said."""

DECLARED_ENGINE = ("--refresh", "--run-program")
"""Has Pulumi look through what the program declares now; without, through what the state remembers, which may have moved."""

Line = tuple[str, str]


class Story:
    """What has been told of a run, and what is under way. `tell` answers the lines for one event."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.engine_is_silent = False
        self.at_work: dict[str, str] = {}
        self._said: set[str] = set()
        self._gone: set[str] = set()

    def tell(self, event: Mapping[str, Any]) -> list[str]:
        """The lines this event is worth, none for most."""
        if "diagnosticEvent" in event:
            return self._diagnostic(event["diagnosticEvent"])
        for kind in ("resourcePreEvent", "resOutputsEvent", "resOpFailedEvent"):
            if kind in event:
                return self._step(kind, event[kind]["metadata"])
        return []

    def waiting(self) -> str:
        """What is at work now, for a line in the silence."""
        return ", ".join(sorted(self.at_work.values())) or "pulumi"

    def _diagnostic(self, diagnostic: Mapping[str, Any]) -> list[str]:
        text, severity = diagnostic["message"].strip(), diagnostic["severity"]
        if not text or text in self._said:
            return []
        if severity == "error":
            self._said.add(text)
            self.engine_is_silent |= engine_errors.engine_is_silent(diagnostic)
            self.errors += filter(None, [engine_errors.readable(diagnostic)])
        elif severity == "warning":
            self._said.add(text)
            return [f"warning: {text}"]
        elif severity == "info" and diagnostic.get("ephemeral"):
            self._said.add(diagnostic.get("urn", ""))
            return [text.partition(REASON)[0]]
        return []

    def _step(self, kind: str, step: Mapping[str, Any]) -> list[str]:
        urn, operation = step["urn"], step["op"]
        name = urn.rpartition("::")[2]
        if kind == "resourcePreEvent":
            first_look = operation == "refresh" and "look" not in self._said
            self._said |= {"look"} if first_look else set()
            if not step["type"].startswith("pulumi:"):
                self.at_work[urn] = name
            return ["looking at what is there"] if first_look else []
        self.at_work.pop(urn, None)
        if operation == "refresh" and not step.get("new"):
            self._gone.add(urn)
        if (
            operation in QUIET | HALF_DONE
            or kind == "resOpFailedEvent"
            or (urn in self._said and operation != "delete")
        ):
            return []
        if docker_steps.is_one(step["type"]):
            return _on_the_engine(step, gone=urn in self._gone)
        return _result(name, step)


def _on_the_engine(step: Mapping[str, Any], *, gone: bool) -> list[str]:
    """What was done to a container, image or volume; why, unless it is simply new or no longer wanted."""
    is_clear = step["op"] == "delete" or (step["op"] == "create" and not gone)
    changes = docker_steps.changes(step, gone=gone)
    return [
        f"{change['action']} {change['subject']}" + ("" if is_clear else f"{REASON}{change['reason']}")
        for change in changes
    ]


def _result(name: str, step: Mapping[str, Any]) -> list[str]:
    if step["op"] == "delete":
        # The rest only leaves the state: what it stands for goes with the folder, or stays with it.
        folder = ((step.get("old") or {}).get("outputs") or {}).get("folder")
        return [f"deleted {folder}"] if step["type"].endswith(":ServerFolder") else []
    changes = ((step.get("new") or {}).get("outputs") or {}).get("changes")
    count = len(changes) if isinstance(changes, list) else 0
    return [f"{name}: {count} {'change' if count == 1 else 'changes'}"] if count else []


def run(argv: list[str], stack: str, *, otherwise: Sequence[str] = ()) -> int:
    """Run Pulumi to its end, telling. Returns its exit code.

    otherwise: what to add to argv for a second try, where the container engine that the state names does not answer.
    """
    # A process group of its own: Ctrl-C reaches Pulumi once, from here, and its second Ctrl-C is the user's second.
    child = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    interrupted = _forward_signals(child)
    story, words = Story(), []
    for source, text in _lines(child, story):
        event = _event(text) if source == "stdout" else None
        if event is not None:
            for line in story.tell(event):
                print(f"  {line}", flush=True)
        elif text.strip():
            words.append(text.strip())
    code = child.wait()
    if code != 0 and otherwise and story.engine_is_silent and not interrupted.is_set():
        say("the container engine of the last run does not answer; looking at the one that is declared now")
        return run([*argv, *otherwise], stack)
    if code != 0:
        _tell_failure(story.errors, words, stack)
    return code if code >= 0 else 128 - code


def _event(text: str) -> dict[str, Any] | None:
    try:
        event = json.loads(text)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _forward_signals(child: subprocess.Popen[str]) -> threading.Event:
    """Answers what is set once there was one."""
    interrupted = threading.Event()

    def forward(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()
        say("interrupted: Pulumi ends what is under way; once more ends it at once")
        child.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup has hang-ups ignored, so that the run outlives its terminal. An ignored interrupt says nothing of the kind:
        # a shell ignores it for whatever runs in the background.
        if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        signal.signal(number, forward)
    return interrupted


def _lines(child: subprocess.Popen[str], story: Story) -> Iterator[Line]:
    """Both streams' lines as they come; whenever nothing was shown for two seconds, says what is at work."""
    lines: queue.Queue[Line | None] = queue.Queue()
    for name, stream in (("stdout", child.stdout), ("stderr", child.stderr)):
        threading.Thread(target=_read, args=(name, stream, lines), daemon=True).start()
    began, ended = time.monotonic(), 0
    while ended < 2:
        try:
            line = lines.get(timeout=SILENT_SECONDS)
        except queue.Empty:
            print(f"  ... {time.monotonic() - began:.0f} s: {story.waiting()}", flush=True)
            continue
        if line is None:
            ended += 1
        else:
            yield line


def _read(name: str, stream: IO[str] | None, lines: queue.Queue[Line | None]) -> None:
    for text in stream or ():
        lines.put((name, text))
    lines.put(None)


def _tell_failure(errors: list[str], words: list[str], stack: str) -> None:
    """What went wrong, once: the resources' own errors, else Pulumi's words, else that it was silent."""
    if any(LOCKED in word for word in words):
        _tell_lock(stack)
        return
    if any(engine_errors.WRONG_PASSPHRASE in word for word in words):
        words = [engine_errors.wrong_passphrase(stack).message]
    rest = [word for word in words if not (errors and word.startswith(ENGINE_NOISE))]
    told = engine_errors.merged(text.removeprefix("error: ") for text in (*errors, *rest))
    for text in told:
        say(text)
    _note_failure("\n".join(told), stack)
    if not errors and not rest:
        say(
            "pulumi failed and said nothing\n"
            f'  -> its own output: eval "$(tools/environment.sh --export)", then pulumi up --stack {stack}'
        )


def _note_failure(text: str, stack: str) -> None:
    """For `circlepay summary`: why the last run failed, for the owner's eyes only. Nothing is noted without a reason."""
    path = failure_note(stack)
    path.unlink(missing_ok=True)
    if text:
        make_private(path.parent)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text + "\n")


def failure_note(stack: str) -> Path:
    """Where the reason of a failed run stands until the next one."""
    return Path(".circlepay", f"failure-{stack}.txt")


def _tell_lock(stack: str) -> None:
    """Who holds the stack. Pulumi advises to remove the lock, which would let two runs write at once."""
    if dead_lock.main(stack) == 1:
        return
    say(
        f"stack {stack} was locked by another run that has begun at the same moment\n"
        "  -> wait until that run has ended, then run the same command again"
    )


def main(arguments: list[str]) -> int:
    """STACK, then Pulumi's own words."""
    stack, verb, *options = arguments
    failure_note(stack).unlink(missing_ok=True)
    options = [*options, "--yes", "--skip-preview", "--json", "--non-interactive", "--stack", stack]
    return run(["pulumi", verb, *options], stack, otherwise=DECLARED_ENGINE if verb == "up" else ())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
