"""Everything that limits a field of the settings, found in its annotation and not by pydantic's JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo


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
