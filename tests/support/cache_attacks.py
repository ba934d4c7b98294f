"""Ways from the application's Redis login, which is Redis' only user, to the machine that the server runs on."""

from __future__ import annotations

from typing import Any

import redis

LIBRARY = "#!lua name=attack\n{}"
FILES_AND_PROGRAMS = ("os.execute", "os.getenv", "io.open", "loadfile", "dofile", "require", "package", "debug")

REFUSED: dict[str, tuple[str, ...]] = {
    "load a module": ("MODULE", "LOAD", "/circlepay-attack.so"),
    "load a module with arguments": ("MODULE", "LOADEX", "/circlepay-attack.so"),
    "allow modules": ("CONFIG", "SET", "enable-module-command", "yes"),
    "use the commands for debugging": ("DEBUG", "SLEEP", "0"),
    "allow the commands for debugging": ("CONFIG", "SET", "enable-debug-command", "yes"),
    "write snapshots into another folder": ("CONFIG", "SET", "dir", "/tmp"),
    "write snapshots under another name": ("CONFIG", "SET", "dbfilename", "authorized_keys"),
    "allow both": ("CONFIG", "SET", "enable-protected-configs", "yes"),
    "log into another file": ("CONFIG", "SET", "logfile", "/circlepay-attack"),
    "write users into a file": ("ACL", "SAVE"),
    "take users from another file": ("CONFIG", "SET", "aclfile", "/circlepay-attack"),
    "append to another folder": ("CONFIG", "SET", "appenddirname", "../attack"),
    "load a module from a script": ("EVAL", "return redis.call('MODULE', 'LOAD', '/circlepay-attack.so')", "0"),
    "move snapshots from a script": ("EVAL", "return redis.call('CONFIG', 'SET', 'dir', '/tmp')", "0"),
    "end the server from a script": ("EVAL", "return redis.call('SHUTDOWN')", "0"),
    "replace what scripts share": ("EVAL", "redis.call = nil", "0"),
    "load bytecode": ("EVAL", "return loadstring(string.dump(function() end))()", "0"),
    **{f"reach {name} from a script": ("EVAL", f"return {name}('x')", "0") for name in FILES_AND_PROGRAMS},
    **{
        f"reach {name} from a library": ("FUNCTION", "LOAD", LIBRARY.format(f"{name}('x')"))
        for name in FILES_AND_PROGRAMS
    },
}
"""What attempts it -> the command; an error is the answer, and nothing of the server changes."""


def succeeded(client: redis.Redis) -> list[str]:
    """The attempts that were not refused; empty where all were."""
    return [what for what, words in REFUSED.items() if _is_done(client, words)]


def _is_done(client: Any, words: tuple[str, ...]) -> bool:
    try:
        client.execute_command(*words)
    except redis.ResponseError as error:
        # There is no such module; a server that would have loaded one says so.
        return words[0] == "MODULE" and "not allowed" not in str(error)
    return True
