"""Types of settings: strict, except that a number or a flag may arrive as text, since Pulumi keeps scalars as text."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, Strict
from pydantic.alias_generators import to_camel

MINIMUM_SECRET_LENGTH = 16
"""Characters. NIST SP 800-63B-4 §3.1.1.2 asks at least 15 for a password that is the only factor."""


def _whole_number(value: object) -> object:
    """Digits are a number; everything else is left for the type to refuse."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) else value


def _number(value: object) -> object:
    return float(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,9})?", value) else value


def _digits(value: object) -> object:
    """A whole number as its digits: where a unit may follow, one without a unit is no text to YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _scalar(value: object) -> object:
    """A flag or a whole number as it is written: Pulumi makes those of what it is given as text."""
    return str(value).lower() if isinstance(value, bool | int) else value


def _flag(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _printable(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("must be printable ASCII characters only")
    return value


def _without_spaces(value: SecretStr) -> SecretStr:
    if " " in value.get_secret_value():
        raise ValueError("must not hold spaces")
    return _printable(value)


def _entity_secret(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"|[0-9a-fA-F]{64}", value.get_secret_value()):
        raise ValueError("must be 32 bytes written as 64 hexadecimal digits")
    return value


WholeNumber = Annotated[int, Strict(), BeforeValidator(_whole_number)]
Number = Annotated[float, Strict(), BeforeValidator(_number)]
Seconds = Number
Flag = Annotated[bool, Strict(), BeforeValidator(_flag)]
Port = Annotated[int, Strict(), Field(ge=1, le=65535), BeforeValidator(_whole_number)]
"""The limits stand before the validator: behind one, pydantic's JSON Schema, and so docs/settings.md, lacks them."""
Amount = Annotated[str, BeforeValidator(_digits)]
"""Digits, or digits with a unit."""
Identifier = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
"""A PostgreSQL identifier that needs no quoting: at most 63 bytes (NAMEDATALEN - 1)."""
AbsolutePath = Annotated[str, Field(pattern=r"^(|/[^\x00-\x1f]+)$")]
"""Empty for unset."""
ProgramFolder = Annotated[str, Field(pattern=r"^(wheel|/[^\x00-\x1f]+)$")]
"""Where a server's programs are: in the Python wheel, or an absolute path."""
FilePath = Annotated[str, Field(pattern=r"^[^\x00-\x1f]*$")]
"""Absolute or below the project's root; empty for unset."""
LoopbackAddress = Literal["127.0.0.1", "::1", "localhost"]
Secret = Annotated[SecretStr, Field(min_length=MINIMUM_SECRET_LENGTH, max_length=512), AfterValidator(_printable)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=4096), AfterValidator(_printable)]
"""A password of a foreign service, which sets its own rules for length."""
ApiKey = Annotated[SecretStr, Field(max_length=512), AfterValidator(_without_spaces)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
"""What every shell takes for a variable's name."""
VariableValue = Annotated[SecretStr, Field(max_length=4096), BeforeValidator(_scalar), AfterValidator(_printable)]
EntitySecret = Annotated[SecretStr, AfterValidator(_entity_secret)]
SECRET_LIMIT = f"{MINIMUM_SECRET_LENGTH} to 512 printable ASCII characters"


class Section(BaseModel):
    """Base of every section: camelCase in the stack file, snake_case in code, unknown names refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
    )
