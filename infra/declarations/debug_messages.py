"""Pulumi's SDK logs every value that a program registers in debug messages, secrets in plain text among them.

`pulumi up --debug` prints those messages. They pass through here first and lose their values.
"""

from __future__ import annotations

import pulumi

VALUES = "props="
"""The text before the values in the SDK's messages."""


def without_values(message: str) -> str:
    """The message up to the values it would show."""
    start, found, _ = message.partition(VALUES)
    return f"{start}{VALUES}[not shown]" if found else message


def hide_values() -> None:
    """From now on no debug message of this program's SDK carries values."""
    original = pulumi.log.debug

    def debug(
        msg: str, resource: pulumi.Resource | None = None, stream_id: int | None = None, ephemeral: bool | None = None
    ) -> None:
        original(without_values(msg), resource, stream_id, ephemeral)

    pulumi.log.debug = debug
