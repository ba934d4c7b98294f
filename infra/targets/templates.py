"""Configuration templates: one readable file per server, filled from the stack's settings.

    {setting:NAME}     on a line of its own: the lines for that setting, or for that part of the file
    {other_settings}   the lines of every setting without a place of its own

What only the target knows ({data}, {port}, {secret:...}) stays as it is, see spec.PLACEHOLDERS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_SETTING = re.compile(r"^\{setting:([a-z_-]+)\}$", re.MULTILINE)


def fill(template: str, lines: Mapping[str, str]) -> str:
    """The template with every setting in its place; a setting that was not declared leaves no line."""
    placed = set(_SETTING.findall(template))
    rest = "\n".join(text for name, text in lines.items() if name not in placed)
    filled = _SETTING.sub(lambda match: lines.get(match[1], ""), template)
    return filled.replace("{other_settings}", rest)


def fill_parts(template: str, parts: Mapping[str, str]) -> str:
    """The template with only these parts in their places; settings keep theirs for `fill`."""
    return _SETTING.sub(lambda match: parts.get(match[1], match[0]), template)
