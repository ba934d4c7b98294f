"""Makes the project's environment and becomes the command in it; `tools/environment.sh` is the way in."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sys

from tools import pulumi_settings, python_environment
from tools.pulumi import docker_plugin, selection
from tools.running import ToolError, say

USAGE = """usage: tools/environment.sh [--no-toolchain] COMMAND [ARGUMENT...]
       eval "$(tools/environment.sh --export)"
"""
STACK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def prepared(*, toolchain: bool = True) -> dict[str, str]:
    """The whole environment, everything in it made where it was missing."""
    stack = os.environ.get("STACK") or "local"
    if not STACK_NAME.fullmatch(stack):
        raise ToolError(f"STACK={stack!r} is not the name of a stack: letters, digits, and - _ . after the first")
    python_environment.prepare()
    environment = python_environment.environment()
    if not toolchain:
        return environment | {"STACK": stack}
    folder, own_build = selection.choose()
    added = pulumi_settings.variables(environment, stack, own_build=own_build)
    first, *others = environment["PATH"].split(os.pathsep)
    path = os.pathsep.join([first, str(folder), *(part for part in others if part != str(folder))])
    environment |= added | {"PATH": path}
    chosen = "" if os.environ.get("STACK") else pulumi_settings.selected(environment)
    if chosen not in ("", stack):
        say(
            f"using stack {stack}, since STACK is not set; {chosen}, which `pulumi stack select` chose, is only a bare pulumi's"
        )
    docker_plugin.prepare(environment, pulumi_settings.home(environment), stack, own_build=own_build)
    return environment


def exports(environment: dict[str, str]) -> str:
    """Shell lines that set what differs from the current environment, and unset what does not belong in it."""
    unset = [f"unset {name}" for name in python_environment.UNWANTED if name in os.environ.keys() - environment.keys()]
    changed = {name: value for name, value in sorted(environment.items()) if os.environ.get(name) != value}
    return "\n".join([*unset, *(f"export {name}={shlex.quote(value)}" for name, value in changed.items())])


def restore_interrupts() -> None:
    """Restores the default for interrupts, where a script started this in the background, with interrupts ignored.

    Programs inherit that. Pulumi ends its first language host of a run by an interrupt, and waits 5 s for one that
    ignores it; and no shell can trap what was ignored when it started.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def main(arguments: list[str]) -> int:
    """Run `arguments`; returns only when that failed."""
    toolchain = True
    if arguments[:1] == ["--no-toolchain"]:
        toolchain = False
        arguments = arguments[1:]
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(USAGE, end="", file=sys.stderr)
        return 0 if arguments else 2
    try:
        environment = prepared(toolchain=toolchain)
        if arguments == ["--export"]:
            print(exports(environment))
            return 0
        program = shutil.which(arguments[0], path=environment["PATH"])
        if program is None:
            raise ToolError(f"there is no command {arguments[0]} in this environment")
        restore_interrupts()
        os.execve(program, arguments, environment)  # noqa: S606  (becoming the command is what this is for)
    except ToolError as error:
        say(str(error))
    except OSError as error:
        say(f"{error.strerror}: {error.filename or arguments[0]}")
    except KeyboardInterrupt:
        say("interrupted; the same command continues where this stopped")
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
