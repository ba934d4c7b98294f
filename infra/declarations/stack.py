"""The stack's name, settings and paths, which every step needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from infra.credentials import supplied as supplied_secrets
from infra.postgres import migrations
from infra.settings.model import Settings


@dataclass(frozen=True)
class Stack:
    """A stack's name, settings and clone. project_root: absolute."""

    name: str
    settings: Settings
    project_root: Path

    @property
    def env_path(self) -> Path:
        """Where the env file is published."""
        return self.project_root / (self.settings.env_file or f".env.{self.name}")

    @property
    def sql(self) -> Path:
        """The folder with `migrations` and `optional`."""
        return self.project_root / "sql"

    @property
    def cache(self) -> Path:
        """The folder for files that can be recreated."""
        return self.project_root / ".circlepay" / "cache"

    @cached_property
    def migrations(self) -> list[dict[str, int | str]]:
        """Version, name and sha256 of each declared migration. Raises MigrationError."""
        return migrations.listed(self.sql / "migrations")

    @cached_property
    def supplied_secrets(self) -> str:
        """Absolute path of the supplied secrets file, empty without one. Raises SettingsError if it cannot be used."""
        if not self.settings.application.supplied_secrets_file:
            return ""
        path = self.project_root / self.settings.application.supplied_secrets_file
        supplied_secrets.inspect(path)
        return str(path)
