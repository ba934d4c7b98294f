"""When the state is lost but data and env file are not: the generated secrets again, from what they were written into.

    pulumi import circlepay:index:GeneratedSecrets secrets <path of the env file>[:<where the data is, if not the default>]

Where: the data directory of `processes`, or the URL of a container engine.

The superuser's password is in no file. It is made anew: the target sets it on the data the next time the server starts.
"""

from __future__ import annotations

import json
import os
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


def recover(env_path: Path, place: str = "") -> Recovered:
    """Reads the env file, and the marks of the stack's data.

    place: its data directory, or the URL of the engine that has its volumes; empty for the default of either. Raises
    PublishError when the file is not ours, TargetError when no data, or data of several sets of secrets, is its stack's.
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
        _secrets_id(place, clone_id(env_path.parent), stack),
    )


def _secrets_id(place: str, clone: str, stack: str) -> str:
    on_engine = "://" in place
    folder = Path(place) if place and not on_engine else default_data_root()
    found = set() if on_engine else _of_folders(folder / clone / stack)
    if not found and (on_engine or not place):
        found = _of_volumes(place, clone, stack)
    if len(found) != 1:
        cause = "there is no data of this stack" if not found else "its servers were made with different secrets"
        where = place or f"{folder / clone / stack}, and the container engine"
        raise TargetError(OPERATION, where, cause, "run this in the clone that made the stack, or bring up a new one")
    return found.pop()


def _of_folders(folder: Path) -> set[str]:
    return {str(json.loads(mark.read_text(encoding="utf-8"))["secrets_id"]) for mark in folder.glob(f"*/{MARK}")}


def _of_volumes(url: str, clone: str, stack: str) -> set[str]:
    """The sets of secrets that the stack's volumes on an engine were made with; none where no engine answers."""
    from infra.targets.containers.engine import connected, locate
    from infra.targets.containers.ownership import secrets_of

    try:
        with connected(url or locate("", os.environ), OPERATION, url) as api:
            return secrets_of(api, clone, stack)
    except TargetError:
        if url:
            raise
        return set()
