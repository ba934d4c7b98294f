"""The tables of docs/settings.md, written from the model: `python -m infra.settings.reference docs/settings.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from infra.settings.model import PROJECT, Settings
from infra.settings.rules import RULES, WARNINGS

BEGIN = "<!-- From here on written by `python -m infra.settings.reference docs/settings.md`: edit infra/settings/. -->"
END = "<!-- Up to here. -->"
ESCAPED_BAR = "\\|"
TYPES = {
    "string": "text",
    "boolean": "true or false",
    "integer": "integer",
    "number": "number",
    "array": "list",
    "object": "secrets by name",
}
LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "minLength": "length ≥ {}",
    "maxLength": "length ≤ {}",
    "maxItems": "length ≤ {}",
    "maxProperties": "length ≤ {}",
}
"""By JSON Schema's keyword. A pattern is told by examples."""

Schema = dict[str, Any]


def rewritten(page: str) -> str:
    """The page with new tables between its two marks. Raises ValueError when a mark is missing."""
    begin, end = page.index(BEGIN), page.index(END)
    return f"{page[:begin]}{BEGIN}\n\n{tables()}\n{page[end:]}"


def tables() -> str:
    """Every setting by group, the rules between settings, and the warnings, as Markdown."""
    schema = Settings.model_json_schema()
    lines = ["## The stack\n", *_table(schema, schema, "")]
    for name, field in schema["properties"].items():
        group = _referenced(schema, field)
        if group.get("type") == "object":
            lines += [f"\n## {name}\n", f"{group['description']}\n", *_table(schema, group, f"{name}.")]
    lines += ["\n## Rules between settings\n", *_sentences(RULES), "\n## Warnings\n"]
    return "\n".join([*lines, "Allowed, but said at every `up`:\n", *_sentences(WARNINGS), ""])


def _table(schema: Schema, group: Schema, prefix: str) -> Iterator[str]:
    yield "| setting | type | limits | default | meaning |"
    yield "|---|---|---|---|---|"
    yield from _rows(schema, group, prefix)


def _rows(schema: Schema, group: Schema, prefix: str) -> Iterator[str]:
    """A row for each setting of a group, members of a list below the list; inner groups have tables of their own."""
    for name, own in group["properties"].items():
        field = {**_referenced(schema, own), **own}
        if "properties" in field:
            continue
        default = _default(field) if name not in group.get("required", ()) else "required"
        cells = (f"`{PROJECT}:{prefix}{name}`", _type(field), _limits(field), default, field["description"])
        yield f"| {' | '.join(cell.replace('|', ESCAPED_BAR) for cell in cells)} |"
        if "items" in field:
            yield from _rows(schema, _referenced(schema, field["items"]), f"{prefix}{name}[].")


def _referenced(schema: Schema, field: Schema) -> Schema:
    """The definition a field points at, or its one alternative to null; empty for a field that says all by itself."""
    if "$ref" in field:
        return dict(schema["$defs"][field["$ref"].rpartition("/")[2]])
    return next((choice for choice in field.get("anyOf", ()) if choice["type"] != "null"), {})


def _type(field: Schema) -> str:
    if choices := field.get("enum", [field["const"]] if "const" in field else []):
        return " | ".join(f"`{choice}`" for choice in choices)
    return "secret" if field.get("format") == "password" else TYPES[field["type"]]


def _limits(field: Schema) -> str:
    limits = [words.format(field[keyword]) for keyword, words in LIMITS.items() if keyword in field]
    examples = " or ".join(f"`{example}`" for example in field.get("examples", ()))
    return ", ".join([*limits, f"such as {examples}"] if examples else limits)


def _default(field: Schema) -> str:
    default = field["default"]
    if default in (None, "", [], {}) or "Unset:" in field["description"]:
        return "unset"
    if isinstance(default, list):
        return "; ".join(" ".join(str(value) for value in item.values()) for item in default)
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _sentences(rules: Iterable[Callable[..., Any]]) -> Iterator[str]:
    yield from (f"- {rule.__doc__}" for rule in rules)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
