"""Runs `pulumi up` or `pulumi destroy` and reports progress in short lines.

Pulumi writes its events as JSON, one a line. After two silent seconds a line names what is still in progress, and errors come
last.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any

from infra.operations import dead_lock, engine_errors, preview, run_note
from infra.operations.progress import ProgressReporter
from infra.operations.run_note import RunNote
from infra.operations.stack import pulumi_command
from infra.paths import PROJECT_ROOT
from tools.running import say

SILENT_SECONDS = 2.0

LOCKED = "is currently locked by"
"""Pulumi's message where another run started between our look at the lock and Pulumi's own."""

ENGINE_NOISE = ("error: update failed", "error: destroy failed", "error: 1 error occurred")
"""Messages that only repeat that something failed."""

DECLARED_ENGINE = ("--refresh", "--run-program")
"""Makes Pulumi use the engine that the program declares now; without, the one in the state, which may have moved."""

Line = tuple[str, str]
"""Name of the stream and what was written to it."""


def run(stack: str, verb: str, *options: str, project_root: Path = PROJECT_ROOT) -> int:
    """Runs `pulumi VERB` to its end and reports progress. Returns its exit code."""
    run_note.path_of(stack, project_root).unlink(missing_ok=True)
    common = ["--yes", "--skip-preview", "--json", "--non-interactive", "--stack", stack]
    return _run([verb, *options, *common], stack, project_root, otherwise=DECLARED_ENGINE if verb == "up" else ())


def _run(arguments: list[str], stack: str, project_root: Path, *, otherwise: Sequence[str] = ()) -> int:
    """otherwise: what to add for a second try, where the container engine that the state names does not answer."""
    reporter, messages, finished, began = ProgressReporter(), [], [], run_note.now()
    with _started(arguments, stack, project_root) as (child, interrupted):
        for source, text in _lines(child, reporter):
            event = _event(text) if source == "stdout" else None
            if event is not None:
                finished += [event] if preview.FINISHED in event else []
                for line in reporter.lines_for(event):
                    print(f"  {line}", flush=True)
            elif text.strip():
                messages.append(text.strip())
        code = child.wait()
    if code != 0 and otherwise and reporter.engine_is_silent and not interrupted.is_set():
        say("the container engine of the last run does not answer; looking at the one that is declared now")
        return _run([*arguments, *otherwise], stack, project_root)
    reason = _report_failure(reporter, messages, stack) if code != 0 else ""
    note = RunNote(began, run_note.now(), tuple(preview.planned(finished)), reason)
    run_note.write(note, stack, project_root)
    return code if code >= 0 else 128 - code


def run_silently(arguments: list[str], stack: str, project_root: Path) -> tuple[int, str]:
    """Any other command of Pulumi that writes: its exit code and its output. Raises KeyboardInterrupt at its end."""
    with _started(arguments, stack, project_root, errors=subprocess.STDOUT) as (child, interrupted):
        output = child.communicate()[0]
    if interrupted.is_set():
        raise KeyboardInterrupt
    return child.returncode, output


@contextlib.contextmanager
def _started(
    arguments: list[str], stack: str, project_root: Path, *, errors: int = subprocess.PIPE
) -> Iterator[tuple[subprocess.Popen[str], threading.Event]]:
    """A running Pulumi, and the event that is set once it was interrupted.

    A process group of its own: Ctrl-C reaches Pulumi once, from here, and its second Ctrl-C is the user's second.
    """
    with (
        _signals_forwarded() as forwarding,
        subprocess.Popen(
            [*pulumi_command(project_root), *arguments],
            cwd=project_root,
            env={**os.environ, "STACK": stack},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            process_group=0,
        ) as child,
    ):
        forwarding.begin(child)
        yield child, forwarding.interrupted


class _Forwarding:
    """Signals that would end this process interrupt a child instead, also those that came before there was one."""

    def __init__(self) -> None:
        self.interrupted = threading.Event()
        self._child: subprocess.Popen[str] | None = None
        self._waiting = 0

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """A signal's handler."""
        self.interrupted.set()
        say("interrupted: Pulumi finishes what is in progress; a second interrupt ends it at once")
        self._waiting += 1
        self._send()

    def begin(self, child: subprocess.Popen[str]) -> None:
        """From now on to this child."""
        self._child = child
        self._send()

    def _send(self) -> None:
        while self._child is not None and self._waiting > 0:
            self._waiting -= 1
            self._child.send_signal(signal.SIGINT)


@contextlib.contextmanager
def _signals_forwarded() -> Iterator[_Forwarding]:
    """Handles them before there is a child: one that comes while it starts would end this process and leave the child."""
    forwarding = _Forwarding()
    before = {number: signal.signal(number, forwarding.handle) for number in _forwarded()}
    try:
        yield forwarding
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _forwarded() -> Iterator[signal.Signals]:
    yield from (signal.SIGINT, signal.SIGTERM)
    # nohup has hang-ups ignored, so that the run outlives its terminal. An ignored interrupt does not mean that:
    # a shell ignores it for everything that runs in the background.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP


def _event(text: str) -> dict[str, Any] | None:
    try:
        event = json.loads(text)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _lines(child: subprocess.Popen[str], reporter: ProgressReporter) -> Iterator[Line]:
    """Both streams' lines as they come; whenever nothing was shown for two seconds, prints what is in progress."""
    lines: queue.Queue[Line | None] = queue.Queue()
    for name, stream in (("stdout", child.stdout), ("stderr", child.stderr)):
        threading.Thread(target=_read, args=(name, stream, lines), daemon=True).start()
    began, ended = time.monotonic(), 0
    while ended < 2:
        try:
            line = lines.get(timeout=SILENT_SECONDS)
        except queue.Empty:
            print(f"  still working after {time.monotonic() - began:.0f} s: {reporter.in_progress()}", flush=True)
            continue
        if line is None:
            ended += 1
        else:
            yield line


def _read(name: str, stream: IO[str] | None, lines: queue.Queue[Line | None]) -> None:
    for text in stream or ():
        lines.put((name, text))
    lines.put(None)


def _report_failure(reporter: ProgressReporter, output: list[str], stack: str) -> str:
    """Prints what failed, once, and returns it: the resources' own errors, else Pulumi's output, else what it was doing."""
    if any(LOCKED in line for line in output):
        _report_lock(stack)
        return ""
    if any(engine_errors.WRONG_PASSPHRASE in line for line in output):
        output = [engine_errors.wrong_passphrase(stack).message]
    errors = reporter.errors
    rest = [line for line in output if not (errors and line.startswith(ENGINE_NOISE))]
    messages = engine_errors.merged(text.removeprefix("error: ") for text in (*errors, *rest))
    if not messages:
        messages = [
            f"pulumi failed without a message, at: {', '.join(reporter.failed) or reporter.in_progress()}\n"
            f'  -> its own output: eval "$(tools/environment.sh --export)", then pulumi up --stack {stack}'
        ]
    for text in messages:
        say(text)
    return "\n".join(messages)


def _report_lock(stack: str) -> None:
    """Prints who holds the stack. Pulumi advises to remove the lock, which would let two runs write at once."""
    if dead_lock.main(stack) == 1:
        return
    say(
        f"stack {stack} was locked by another run that started at the same time\n"
        "  -> wait until that run has ended, then run the same command again"
    )
