"""Recovers the generated secrets from the env file when the state is lost but data and env file are not.

    pulumi import circlepay:index:GeneratedSecrets secrets <path of the env file>[:<location of the data, if not the default>]

Location: the data directory of `processes`, or the URL of a container engine.

The superuser's password is in no file. A new one is generated; the target sets it when the server starts next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.errors import PublishError, TargetError
from infra.targets import target
from infra.targets.clones import clone_id

OPERATION = "recover the generated secrets"


@dataclass(frozen=True)
class Recovered:
    """values: secret by name, as in GeneratedSecrets. secrets_id: id of the set of secrets that the data was created with."""

    values: dict[str, str] = field(repr=False)
    secrets_id: str


def recover(env_path: Path, location: str = "") -> Recovered:
    """Reads the env file, and the marks of the stack's data.

    location: its data directory, or the URL of the engine that has its volumes; empty for the defaults. Raises
    PublishError when the file was not written by this package, TargetError when the stack has no data, or data of
    several sets of secrets.
    """
    from infra.credentials.generated import generate
    from infra.env_file.encoding import read_back
    from infra.env_file.writing import observe

    observed = observe(env_path)
    if observed.kind != "ours":
        raise PublishError(
            OPERATION,
            str(env_path),
            f"is {observed.kind}, not an env file of this package",
            "name the stack's env file",
        )
    found = re.search(r"for the stack (\S+)\.$", observed.header)
    stack = found[1] if found else ""
    values = read_back(observed.text)
    return Recovered(
        {
            **generate(["superuser_password"]),
            "application_password": unquote(urlsplit(values["DATABASE_URL"]).password or ""),
            "redis_password": unquote(urlsplit(values["REDIS_URL"]).password or ""),
            "secret_key": values["SECRET_KEY"],
            "jwt_secret_key": values["JWT_SECRET_KEY"],
        },
        _secrets_id(location, clone_id(env_path.parent), stack),
    )


def _secrets_id(place: str, clone: str, stack: str) -> str:
    found = {each for name in target.names() for each in target.load(name).secrets_ids(place, clone, stack)}
    if len(found) != 1:
        cause = "there is no data of this stack" if not found else "its servers were created with different secrets"
        where = place or f"stack {stack} of clone {clone}"
        hint = "run this in the clone that created the stack, or bring up a new one"
        raise TargetError(OPERATION, where, cause, hint)
    return found.pop()
