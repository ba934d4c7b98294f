"""The reference of every setting, written from the model: `python -m infra.settings_reference > docs/settings.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from infra.settings import Settings
from infra.settings_problems import PROJECT, group_of, such_as
from infra.settings_rules import REMARKS, RULES

INTRODUCTION = f"""# Settings

<!-- Written by `python -m infra.settings_reference`; edit the descriptions in infra/settings.py instead. -->

A stack is one file, `Pulumi.<stack>.yaml`, of values only. Nothing has to be set: with no settings at all the stack
`local` is complete. A setting is written into the file, or by `pulumi config set`:

```sh
pulumi config set --stack local --path {PROJECT}:redis.maxmemory 512mb
pulumi config set --stack local --secret --path {PROJECT}:application.circleEntitySecret
```

```yaml
config:
  {PROJECT}:target: processes
  {PROJECT}:redis:
    maxmemory: 512mb
```

An unknown name and a wrong value end the run before anything is touched; the message lists every wrong setting with
what would be right. A name without a value counts as unset. Texts that look like numbers need quotes.
"""

SUPPLIED = f"""## Supplied secrets

`CIRCLE_SANDBOX_API_KEY` and `CIRCLE_ENTITY_SECRET` are yours: never generated, never deleted. There are two ways to
supply them, one at a time:

- in the stack's file, encrypted. Each command asks for its value, which so stays out of the shell's history. Pulumi
  hands the decrypted configuration to its program through that program's environment for as long as it runs:

```sh
pulumi config set --secret --stack local --path {PROJECT}:application.circleSandboxApiKey
pulumi config set --secret --stack local --path {PROJECT}:application.circleEntitySecret
```

- in a file of your own, and only its path travels through Pulumi. The file is read when the env file is written. It
  must be yours and readable by nobody else (`chmod 600`), and has these two lines:

```sh
CIRCLE_SANDBOX_API_KEY=...
CIRCLE_ENTITY_SECRET=...
```

`--plaintext` says that the path is no secret; without it Pulumi takes the word for one and refuses:

```sh
pulumi config set --plaintext --stack local --path {PROJECT}:application.suppliedSecretsFile /etc/circlepay/circle.env
```

## Passwords and keys

Unset ones are generated once and kept with the data they open: 32 characters for passwords, 64 for keys. Set by hand
they have 16 to 512 printable ASCII characters and are no example of the documentation. Every one of these characters
survives in the env file's URLs, in a shell that sources the file (`set -a; . ./.env.local`) and in python-dotenv.
`docker run --env-file` knows no quotes: it reads generated values as they are, but not a key that you set with
characters outside `[A-Za-z0-9_./:@%+,=-]`.
"""

KINDS = {str: "text", bool: "true or false", int: "integer", float: "number", SecretStr: "secret"}


def reference() -> str:
    """The whole page as Markdown."""
    groups = [(field, group) for field in Settings.model_fields.values() if (group := group_of(field)) is not None]
    parts = [INTRODUCTION, "## The stack\n", *_table(Settings, "")]
    for field, group in groups:
        parts += [f"\n## {field.alias}\n", f"{(group.__doc__ or '').strip()}\n", *_table(group, f"{field.alias}.")]
    parts += ["", SUPPLIED, "## Rules between settings\n", *_list(RULES), "\n## Warnings\n"]
    parts += ["Allowed, but said at every `up`:\n", *_list(REMARKS)]
    return "\n".join(parts) + "\n"


def _table(group: type[BaseModel], prefix: str) -> Iterator[str]:
    yield "| setting | type | limits | default | meaning |"
    yield "|---|---|---|---|---|"
    yield from _rows(group, prefix)


def _rows(group: type[BaseModel], prefix: str) -> Iterator[str]:
    for field in group.model_fields.values():
        inner = group_of(field)
        if inner is field.annotation and inner is not None:
            continue
        name = f"`{PROJECT}:{prefix}{field.alias}`"
        yield f"| {name} | {_kind(field)} | {_limits(field)} | {_default(field)} | {_cell(field.description or '')} |"
        if inner is not None:
            yield from _rows(inner, f"{prefix}{field.alias}[].")


def _kind(field: FieldInfo) -> str:
    kinds = [kind for kind in _alternatives(field.annotation) if kind is not NoneType]
    if group_of(field) is not None:
        return "list"
    values = [value for kind in kinds for value in _values(kind)]
    return " \\| ".join(f"`{value}`" for value in values) if values else KINDS[kinds[0]]


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, each without its metadata."""
    members = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(_bare(member) for member in members)


def _bare(kind: Any) -> Any:
    return _bare(get_args(kind)[0]) if hasattr(kind, "__metadata__") else kind


def _values(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return [str(item.value) for item in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []


def constraints(field: FieldInfo) -> list[Any]:
    """Everything that limits a field, from its own metadata and from that of its type."""
    return [limit for limit in _metadata(field.annotation, field.metadata) if limit is not None]


def _metadata(annotation: Any, own: Iterable[Any]) -> Iterator[Any]:
    for item in own:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)
    if hasattr(annotation, "__metadata__"):
        yield from _metadata(get_args(annotation)[0], annotation.__metadata__)
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _metadata(member, ())


def _limits(field: FieldInfo) -> str:
    words = {
        Ge: lambda limit: f"≥ {limit.ge}",
        Gt: lambda limit: f"> {limit.gt}",
        Le: lambda limit: f"≤ {limit.le}",
        MinLen: lambda limit: f"length ≥ {limit.min_length}",
        MaxLen: lambda limit: f"length ≤ {limit.max_length}",
    }
    found = [words[type(limit)](limit) for limit in constraints(field) if type(limit) in words]
    found += [f"such as {such_as(field.examples)}"] if field.examples else []
    return ", ".join(found)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None or field.default == "" or "Unset:" in (field.description or ""):
        return "unset"
    if isinstance(field.default, tuple):
        return "; ".join(" ".join(str(value) for value in dict(item).values()) for item in field.default)
    value = field.default.value if isinstance(field.default, Enum) else field.default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _list(rules: Iterable[Any]) -> list[str]:
    return [f"- {(rule.__doc__ or '').strip()}" for rule in rules]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
