"""The errors of this package.

    CirclePayError
    ├── SettingsError      a value of the stack's configuration, named by its field
    ├── TargetError        where servers run: ports, folders, processes, binaries
    ├── ServerError        a server that does not answer, or answers something else
    ├── MigrationError     a migration file, named with line and column
    ├── CatalogError       objects, roles and privileges in a database
    ├── CacheError         settings of the cache server
    ├── PublishError       the gate in front of the env file
    └── VerificationError  checks that did not pass

Each names what was being done (operation), to what (path), what went wrong (cause) and what to do (hint), so that the
message alone is enough to act on.
"""

from __future__ import annotations


class CirclePayError(Exception):
    """The base class of every error that this package raises deliberately.

    operation: what was being done, as a phrase ("start postgres").
    path: the setting, file, folder, server or object it was done to.
    cause: what went wrong, in one sentence.
    hint: what to do about it, in one sentence; may be empty.
    """

    def __init__(self, operation: str, path: str, cause: str, hint: str = "") -> None:
        self.operation = operation
        self.path = path
        self.cause = cause
        self.hint = hint
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """«operation: path: cause», and the hint, if any, on a second line after `->`."""
        text = f"{self.operation}: {self.path}: {self.cause}"
        return f"{text}\n  -> {self.hint}" if self.hint else text

    def as_dict(self) -> dict[str, str]:
        """The four parts for `--json`, with the error's class as `error`."""
        return {
            "error": type(self).__name__,
            "operation": self.operation,
            "path": self.path,
            "cause": self.cause,
            "hint": self.hint,
        }


class SettingsError(CirclePayError):
    """A value of the stack's configuration is missing, malformed or refused; `path` is the setting's name."""


class TargetError(CirclePayError):
    """A problem where servers run: a port in use, a folder of another owner, a full disk, missing programs."""


class ServerError(CirclePayError):
    """A server does not answer, refuses the credentials, or is not the server that was declared."""


class MigrationError(CirclePayError):
    """A migration cannot be applied, or an applied one was edited; `path` is `file:line:column`."""


class CatalogError(CirclePayError):
    """Objects, roles or privileges of a database cannot be read or changed."""


class CacheError(CirclePayError):
    """Settings or access rules of the cache server cannot be read or changed."""


class PublishError(CirclePayError):
    """A check of the publish gate failed; the previous env file is unchanged."""


class VerificationError(CirclePayError):
    """At least one check of the verification did not pass."""
