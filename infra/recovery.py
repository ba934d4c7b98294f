"""When the state is lost but data and env file are not: the generated secrets again, from what they were written into.

    pulumi import circlepay:index:GeneratedSecrets secrets <path of the env file>[:<data directory, if not the default>]

The superuser's password is in no file. It is made anew: the target sets it on the data the next time the server starts.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.errors import PublishError, TargetError
from infra.targets.placement import MARK, clone_id, default_data_root

OPERATION = "recover the generated secrets"


@dataclass(frozen=True)
class Recovered:
    """values: secret by name, as GeneratedSecrets keeps them. secrets_id: the set that the data was made with."""

    values: dict[str, str] = field(repr=False)
    secrets_id: str


def recover(env_path: Path, data_root: Path | None = None) -> Recovered:
    """Reads the env file, and the marks of the stack's server folders.

    data_root: where the stack's data is; None for the default. Raises PublishError when the file is not ours, TargetError
    when no folder, or folders of several sets of secrets, belong to its stack.
    """
    from infra.env_file import observe, read_back
    from infra.generated_secrets import generate

    observed = observe(env_path)
    if observed.kind != "ours":
        raise PublishError(
            OPERATION, str(env_path), f"is {observed.kind}, not an env file of ours", "name the stack's env file"
        )
    found = re.search(r"for the stack (\S+)\.$", observed.header)
    stack = found[1] if found else ""
    values = read_back(env_path.read_text(encoding="ascii"))
    return Recovered(
        {
            **generate(["superuser_password"]),
            "application_password": unquote(urlsplit(values["DATABASE_URL"]).password or ""),
            "redis_password": unquote(urlsplit(values["REDIS_URL"]).password or ""),
            "secret_key": values["SECRET_KEY"],
            "jwt_secret_key": values["JWT_SECRET_KEY"],
        },
        _secrets_id(data_root or default_data_root(), env_path.parent, stack),
    )


def _secrets_id(data_root: Path, project_root: Path, stack: str) -> str:
    folder = data_root / clone_id(project_root) / stack
    found = {json.loads(mark.read_text(encoding="utf-8"))["secrets_id"] for mark in folder.glob(f"*/{MARK}")}
    if len(found) != 1:
        cause = (
            "there is no server folder of this stack" if not found else "its servers were made with different secrets"
        )
        raise TargetError(
            OPERATION, str(folder), cause, "run this in the clone that made the stack, or bring up a new one"
        )
    return str(found.pop())
