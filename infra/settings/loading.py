"""From Pulumi's configuration to Settings: the only reader of pulumi.Config.

A wrong value is an error that names the setting as it is written in `Pulumi.<stack>.yaml`, before anything is touched.
The loaded settings are data: nothing here talks to a server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from infra.postgres.locales import BUILTIN_LOCALES
from infra.settings.model import (
    BUILT_TARGETS,
    PRODUCTION_STACK,
    Environment,
    Settings,
    Target,
    unsupported_target_message,
)
from infra.settings.problems import NAME_OF_A_KEY, Location, Problem, problem_of, problems_error
from infra.settings.rules import violations

if TYPE_CHECKING:
    import pulumi

DEFAULT_LOCALES = {"builtin": "C.UTF-8", "libc": "en_US.UTF-8", "icu": "en-US"}
"""By provider. The document's is `en_US.UTF-8`."""


def load(stack: str, config: pulumi.Config) -> Settings:
    """The stack's settings from Pulumi.

    Raises SettingsError: one sentence when the target is not built yet, else all that is wrong with the settings.
    """
    from pulumi.runtime.config import CONFIG, get_config_env

    prefix = f"{config.name}:"
    names = sorted(name.removeprefix(prefix) for name in {*CONFIG.get(), *get_config_env()} if name.startswith(prefix))
    raw = {name: config.get(name) for name in names}
    refuse_unsupported_target(stack, raw.get("target"))
    return parse(stack, raw)


def refuse_unsupported_target(stack: str, target: object) -> None:
    """Raises SettingsError for the name of a target that is not built yet; what is no target at all passes."""
    if isinstance(target, str) and target in set(Target) - BUILT_TARGETS:
        raise problems_error(stack, [Problem("target", unsupported_target_message(Target(target)))])


def parse(stack: str, raw: Mapping[str, Any]) -> Settings:
    """The settings of a stack from the values of its file, by top-level name without the project's prefix. Pure.

    Groups may be mappings or JSON texts, scalars may be texts, as Pulumi hands them over. Raises SettingsError with
    all problems: each names its setting as it is written in the stack's file, and what would be right; never a value.
    """
    values = _with_defaults(stack, _decoded(raw))
    try:
        settings = Settings.model_validate(values)
    except ValidationError as refused:
        errors = refused.errors(include_url=False, include_input=False)
        problems = [problem_of(error) for error in errors]
        raise problems_error(stack, problems + _violations_of_the_rest(stack, values, errors, problems)) from None
    if broken := violations(stack, settings):
        raise problems_error(stack, broken)
    return settings


def _decoded(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Groups, which Pulumi hands over as JSON, decoded; a name without a value (`port:`) counts as unset."""
    decoded = {name: _without_unset(_decoded_json(value)) for name, value in raw.items()}
    return {name: value for name, value in decoded.items() if value is not None}


def _decoded_json(value: object) -> object:
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


def _with_defaults(stack: str, raw: dict[str, Any]) -> dict[str, Any]:
    """The values with the defaults that depend on the stack or on other values filled in."""
    filled = dict(raw)
    if stack == PRODUCTION_STACK and isinstance(raw.get("application", {}), dict):
        filled["application"] = {"environment": Environment.PRODUCTION.value, **raw.get("application", {})}
    postgres = raw.get("postgres", {})
    if isinstance(postgres, dict):
        # A tuple: what stands in the file may be a list, which no dictionary can be asked for.
        fits_builtin = "locale" not in postgres or postgres["locale"] in tuple(BUILTIN_LOCALES)
        builtin = fits_builtin and raw.get("target", Target.PROCESSES.value) == Target.PROCESSES
        provider = postgres.get("localeProvider", "builtin" if builtin else "libc")
        locale = DEFAULT_LOCALES.get(provider, DEFAULT_LOCALES["libc"]) if isinstance(provider, str) else "C"
        strict = {"restrictPublic": True, "restrictApplication": True} if stack == PRODUCTION_STACK else {}
        filled["postgres"] = {"localeProvider": provider, "locale": locale, **strict, **postgres}
    return filled


def _violations_of_the_rest(
    stack: str, values: dict[str, Any], errors: list[ErrorDetails], problems: list[Problem]
) -> list[Problem]:
    """The rules that are broken by what is left without the wrong fields: one run shows everything."""
    for error in errors:
        _remove(values, error["loc"])
    try:
        settings = Settings.model_validate(values)
    except ValidationError:
        return []
    named = {problem.setting for problem in problems}
    return [problem for problem in violations(stack, settings) if problem.setting not in named]


def _remove(values: dict[str, Any], location: Location) -> None:
    """Takes what stands at the location out; of a list the whole list, since its indexes would shift."""
    location = location[:-1] if location[-1] == NAME_OF_A_KEY else location
    end = next((position for position, part in enumerate(location) if isinstance(part, int)), len(location))
    *groups, last = (str(part) for part in location[:end])
    for part in groups:
        values = values[part]
    values.pop(last, None)
