"""Error messages for wrong settings: one line each, all of them at once, with the command that corrects it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra.errors import SettingsError
from infra.settings.model import PROJECT, Settings

COMMAND_SEPARATOR = "\n       "
"""Between several commands of one hint, below its first line."""

NAME_OF_A_KEY = "[key]"
"""Where pydantic found an error in a key of a map, and not in its value."""

Location = tuple[int | str, ...]
"""Where pydantic found an error: ("redis", "save", 0, "seconds")."""

MESSAGES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a group of names with values",
    "enum": "must be one of {expected}",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_type": "must be an integer",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "missing": "is missing",
    "model_type": "must be a group of settings",
    "string_pattern_mismatch": "must be a value such as {examples}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be text; quote it if it looks like a number",
    "too_long": "must have at most {max_length} {unit}",
    "too_short": "must have at least {min_length} {unit}",
    "tuple_type": "must be a list",
    "value_error": "{error}",
}
"""By pydantic's error types, https://docs.pydantic.dev/latest/errors/validation_errors/."""


@dataclass(frozen=True)
class Problem:
    """One wrong setting.

    setting: its name without the project's prefix (`postgres.port`). cause: what would be right. unknown: no setting
    has this name; nested: it stands below a group.
    """

    setting: str
    cause: str
    unknown: bool = False
    nested: bool = False


def problems_error(stack: str, problems: list[Problem]) -> SettingsError:
    """The error for wrong settings: its path is their names, its cause one line for each."""
    names = [f"{PROJECT}:{problem.setting}" for problem in problems]
    if len(problems) == 1:
        cause = problems[0].cause
    else:
        lines = [f"\n  {name}: {problem.cause}" for name, problem in zip(names, problems, strict=True)]
        cause = f"{len(problems)} settings are wrong{''.join(lines)}"
    path = names[0] if len(problems) == 1 else f"Pulumi.{stack}.yaml"
    commands = list(dict.fromkeys(_correction(stack, problem) for problem in problems))
    listed = f"{' ' if len(commands) == 1 else COMMAND_SEPARATOR}{COMMAND_SEPARATOR.join(commands)}"
    hint = f"correct Pulumi.{stack}.yaml, by hand or by:{listed}"
    return SettingsError(f"read the settings of stack {stack}", path, cause, hint)


def _correction(stack: str, problem: Problem) -> str:
    """The command that corrects it. A secret's value is asked for: an argument would stay in the shell's history."""
    name = f"'{PROJECT}:{problem.setting}'"
    if problem.unknown:
        return f"pulumi config rm --stack {stack} {'--path ' if problem.nested else ''}{name}"
    field = field_at((problem.setting,))
    if field is not None and SecretStr in _nested_types(field.annotation):
        return f"pulumi config set --secret --stack {stack} --path {name}"
    return f"pulumi config set --stack {stack} --path {name} VALUE"


def _nested_types(annotation: Any) -> Iterator[Any]:
    """An annotation and everything between its brackets."""
    yield annotation
    for inner in get_args(annotation):
        yield from _nested_types(inner)


def problem_of(error: ErrorDetails) -> Problem:
    """What pydantic refused, in the words of the stack's file."""
    location = error["loc"]
    if location[-1] == NAME_OF_A_KEY:
        cause = "is no name of a variable: letters, digits and _, not a digit first, at most 128"
        return Problem(setting_name(location[:-1]), cause, unknown=True, nested=True)
    if error["type"] == "extra_forbidden":
        return Problem(setting_name(location), _suggestion(location), unknown=True, nested=len(location) > 1)
    field = field_at(location)
    message = _message(error, (field.examples if field else None) or [])
    if field is None or not field.description:
        return Problem(setting_name(location), message)
    return Problem(setting_name(location), f"{message} ({field.description})")


def _message(error: ErrorDetails, examples: list[Any]) -> str:
    context = {**error.get("ctx", {}), "examples": " or ".join(f"`{example}`" for example in examples)}
    unit = "entries" if context.get("field_type") in ("Tuple", "Dictionary") else "characters"
    return MESSAGES.get(error["type"], error["msg"]).format_map({"unit": unit, **context})


def _suggestion(location: Location) -> str:
    """What was probably meant by an unknown name: a close one beside it, or the same one elsewhere."""
    name = str(location[-1])
    everywhere = list(dict(fields()))
    if name in everywhere:
        return "is not a setting by this name: write it below its group, or use `pulumi config set --path`"
    group = _without_indexes(location[:-1])
    beside = [path.rpartition(".")[2] for path in everywhere if path.rpartition(".")[0] == group]
    if close := difflib.get_close_matches(name, beside, n=1):
        return f"is not a setting; did you mean {PROJECT}:{setting_name((*location[:-1], close[0]))}?"
    elsewhere = [f"{PROJECT}:{path}" for path in everywhere if path.rpartition(".")[2].casefold() == name.casefold()]
    if elsewhere:
        return f"is not a setting; did you mean {' or '.join(elsewhere)}?"
    return f"is not a setting; here are: {', '.join(beside) or 'none'}"


def setting_name(location: Location) -> str:
    """A location as Pulumi's `--path` wants it: `redis.save[0].seconds`, `application.extra["A.B"]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else _member(part) for part in location)
    return text.removeprefix(".")


def _member(name: str) -> str:
    plain = re.fullmatch(r"[\w.\[\]-]+", name) is not None
    return f".{name}" if plain else f"[{json.dumps(name)}]"


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field by its setting's name, groups before their members; members of a list as `redis.save[].seconds`."""
    for field in model.model_fields.values():
        path = f"{prefix}{field.alias}"
        yield path, field
        group = group_of(field)
        if group is not None:
            yield from fields(group, f"{path}." if group is field.annotation else f"{path}[].")


def group_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model a field holds, by itself or as a list of them."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def field_at(location: Location) -> FieldInfo | None:
    """The field at a location, indexes of lists left out; of a value in a map the map's."""
    known, name = dict(fields()), _without_indexes(location)
    above = known.get(name.rpartition(".")[0])
    return known.get(name) or (above if above is not None and get_origin(above.annotation) is dict else None)


def _without_indexes(location: Location) -> str:
    return re.sub(r"\[[0-9]+\]", "[]", setting_name(location))
