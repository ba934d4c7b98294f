"""From what a model refuses to what a person has to change: one line for each wrong setting, all of them at once."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra.errors import SettingsError

PROJECT = "circlepay"
"""The project's name in Pulumi.yaml, which is the prefix of its settings."""

NEXT = "\n       "
"""Between several commands of one hint, below its first line."""

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]

PHRASES = {
    "bool_type": "must be true or false",
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

    setting: its name without the project's prefix (`postgres.port`). cause: what would be right. unknown: nothing has
    this name; nested: it stands below a group.
    """

    setting: str
    cause: str
    unknown: bool = False
    nested: bool = False


def validated(
    model: type[Model],
    stack: str,
    raw: Mapping[str, Any],
    *,
    fill: Callable[[dict[str, Any]], dict[str, Any]],
    rules: Callable[[Model], Iterable[Problem]],
) -> Model:
    """The model made of raw values (`fill` adds defaults), or SettingsError with every problem of fields and rules.

    Rules are asked even when fields are wrong: the wrong ones are left out for that, so that one run shows everything.
    """
    values = _opened(raw)
    try:
        settings = model.model_validate(fill(values))
    except ValidationError as refused:
        errors = refused.errors(include_url=False, include_input=False)
        problems = [_problem(model, error) for error in errors]
        problems += _problems_of_the_rest(model, fill(values), errors, rules, {problem.setting for problem in problems})
        raise problems_error(stack, problems, model) from None
    broken = list(rules(settings))
    if broken:
        raise problems_error(stack, broken, model)
    return settings


def problems_error(stack: str, problems: list[Problem], model: type[BaseModel] | None = None) -> SettingsError:
    """The error for wrong settings: its path is their names, its cause one line for each.

    model: tells which of them are secrets; without it none is.
    """
    names = [f"{PROJECT}:{problem.setting}" for problem in problems]
    if len(problems) == 1:
        cause = problems[0].cause
    else:
        lines = [f"\n  {name}: {problem.cause}" for name, problem in zip(names, problems, strict=True)]
        cause = f"{len(problems)} settings are wrong{''.join(lines)}"
    path = names[0] if len(problems) == 1 else f"Pulumi.{stack}.yaml"
    commands = list(dict.fromkeys(_remedy(model, stack, problem) for problem in problems))
    hint = f"correct Pulumi.{stack}.yaml, by hand or by:{' ' if len(commands) == 1 else NEXT}{NEXT.join(commands)}"
    return SettingsError(f"read the settings of stack {stack}", path, cause, hint)


def _remedy(model: type[BaseModel] | None, stack: str, problem: Problem) -> str:
    """The command that settles it. A secret's value is asked for: typed behind, it would stay in the shell's history."""
    name = f"'{PROJECT}:{problem.setting}'"
    if problem.unknown:
        return f"pulumi config rm --stack {stack} {'--path ' if problem.nested else ''}{name}"
    if model is not None and _is_secret(field_at(model, (problem.setting,))):
        return f"pulumi config set --secret --stack {stack} --path {name}"
    return f"pulumi config set --stack {stack} --path {name} VALUE"


def _is_secret(field: FieldInfo | None) -> bool:
    return field is not None and SecretStr in _kinds(field.annotation)


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)


def _opened(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Groups, which Pulumi hands over as JSON, opened; a name without a value (`port:`) counts as unset."""
    return {name: opened for name, value in raw.items() if (opened := _without_unset(_parsed(value))) is not None}


def _parsed(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _without_unset(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _without_unset(item) for name, item in value.items() if item is not None}
    return value


def _problems_of_the_rest(
    model: type[Model],
    values: dict[str, Any],
    errors: list[ErrorDetails],
    rules: Callable[[Model], Iterable[Problem]],
    named: set[str],
) -> Iterator[Problem]:
    for error in errors:
        _remove(values, error["loc"])
    try:
        settings = model.model_validate(values)
    except ValidationError:
        return
    yield from (problem for problem in rules(settings) if problem.setting not in named)


def _remove(values: dict[str, Any], location: Location) -> None:
    """Takes what stands at the location out; of a list the whole list, since its indexes would shift."""
    *folders, last = (str(part) for part in location[: _first_index(location)])
    for part in folders:
        values = values[part]
    values.pop(last, None)


def _first_index(location: Location) -> int:
    return next((position for position, part in enumerate(location) if isinstance(part, int)), len(location))


def _problem(model: type[BaseModel], error: ErrorDetails) -> Problem:
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        return Problem(written(location), _unknown(model, location), unknown=True, nested=len(location) > 1)
    field = field_at(model, location)
    phrase = _phrase(error, (field.examples if field else None) or [])
    if field is None or not field.description:
        return Problem(written(location), phrase)
    return Problem(written(location), f"{phrase} ({field.description})")


def _phrase(error: ErrorDetails, examples: list[Any]) -> str:
    context = {**error.get("ctx", {}), "examples": such_as(examples)}
    unit = "entries" if context.get("field_type") == "Tuple" else "characters"
    return PHRASES.get(error["type"], error["msg"]).format_map({"unit": unit, **context})


def such_as(examples: Iterable[object]) -> str:
    """Examples as people read them: `512mb` or `1gb`."""
    return " or ".join(f"`{example}`" for example in examples)


def written(location: Location) -> str:
    """A location as Pulumi's `--path` wants it: `redis.save[0].seconds`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def _unknown(model: type[BaseModel], location: Location) -> str:
    """What was probably meant by an unknown name: a close one beside it, or the same one elsewhere."""
    name = str(location[-1])
    everywhere = dict(fields(model))
    if name in everywhere:
        return "is not a setting by this name: write it below its group, or use `pulumi config set --path`"
    group = _without_indexes(location[:-1])
    beside = [path.rpartition(".")[2] for path in everywhere if path.rpartition(".")[0] == group]
    if close := difflib.get_close_matches(name, beside, n=1):
        return f"is not a setting; did you mean {PROJECT}:{written((*location[:-1], close[0]))}?"
    elsewhere = [f"{PROJECT}:{path}" for path in everywhere if path.rpartition(".")[2].casefold() == name.casefold()]
    if elsewhere:
        return f"is not a setting; did you mean {' or '.join(elsewhere)}?"
    return f"is not a setting; here are: {', '.join(beside) or 'none'}"


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of a model by its written name, groups before their members; list members as `save[].seconds`."""
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


def field_at(model: type[BaseModel], location: Location) -> FieldInfo | None:
    """The field at a location, indexes of lists left out."""
    return dict(fields(model)).get(_without_indexes(location))


def _without_indexes(location: Location) -> str:
    return re.sub(r"\[[0-9]+\]", "[]", written(location))
