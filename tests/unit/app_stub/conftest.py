"""A database built by the migrations and a Redis, both real, and the env file an application would get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import Engine, create_engine

from tests.support import live_servers
from tests.support.live_servers import LiveServer


@dataclass(frozen=True)
class Services:
    """Both servers, and the application's password."""

    postgres: LiveServer
    cache: LiveServer
    password: str

    def values(self) -> dict[str, str]:
        """What the env file says."""
        role, database = live_servers.APPLICATION_ROLE, live_servers.DATABASE
        return {
            "DATABASE_URL": f"postgresql://{role}:{quote(self.password)}@127.0.0.1:{self.postgres.port}/{database}",
            "REDIS_URL": f"redis://default:{quote(self.cache.password)}@127.0.0.1:{self.cache.port}",
            "SECRET_KEY": "k3y-for-tests-0123456789abcdefgh",
            "JWT_SECRET_KEY": "jwt-for-tests-0123456789abcdefgh",
            "CIRCLE_SANDBOX_API_KEY": "",
            "CIRCLE_ENTITY_SECRET": "",
            "ENVIRONMENT": "development",
            "DEBUG": "true",
            "LOG_LEVEL": "DEBUG",
        }


def write_env_file(path: Path, values: dict[str, str]) -> Path:
    """An env file with these values, in single quotes as dotenv and shells read them."""
    path.write_text("".join(f"{key}='{value}'\n" for key, value in values.items()), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """PostgreSQL with the schema, and Redis."""
    with live_servers.postgres() as postgres, live_servers.cache() as cache:
        yield Services(postgres, cache, live_servers.create_database(postgres))


@pytest.fixture
def env_file(services: Services, tmp_path: Path) -> Path:
    """The env file of both services."""
    return write_env_file(tmp_path / ".env.test", services.values())


@pytest.fixture
def owner(services: Services) -> Iterator[Engine]:
    """The superuser's engine on the application's database."""
    server = services.postgres
    url = f"postgresql+psycopg://postgres:{quote(server.password)}@127.0.0.1:{server.port}/{live_servers.DATABASE}"
    engine = create_engine(url)
    yield engine
    engine.dispose()
