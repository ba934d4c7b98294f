"""Health probe of a PostgreSQL server: its superuser can log in, and sees what is in force."""

from __future__ import annotations

import math
from collections.abc import Mapping

import psycopg

from infra.endpoint import Endpoint, Login
from infra.errors import ServerError
from infra.postgres import in_force
from infra.postgres.connection import open_session
from infra.targets.spec import Answer, CredentialsRefused

REFUSALS = ("password authentication failed", "does not exist")
"""Parts of the server's messages (lc_messages is C) for a wrong password and a missing role."""


def probe(
    endpoint: Endpoint, secrets: Mapping[str, str], timeout: float, *, superuser: str, files: Mapping[str, str]
) -> Answer:
    """Logs in as the superuser: the server's version ("18.6"), and what differs from its files.

    Raises CredentialsRefused, or ServerError when there is no answer or the server is still starting.
    """
    operation = f"log in to postgres as {superuser}"
    try:
        login = Login(endpoint, superuser, secrets["superuser_password"])
        patience = max(2, math.ceil(timeout))
        with open_session(login, application_name="circlepay", connect_timeout=patience) as connection:
            return Answer(
                (connection.info.parameter_status("server_version") or "unknown").split()[0],
                in_force.reload_reason(connection, endpoint, superuser, timeout),
                in_force.restart_reason(connection, files),
            )
    except psycopg.errors.InsufficientPrivilege as error:
        raise CredentialsRefused(operation, str(endpoint), f"it is no superuser any more: {error}") from None
    except psycopg.OperationalError as error:
        cause = " ".join(str(error).split())
        if any(refusal in cause for refusal in REFUSALS):
            raise CredentialsRefused(operation, str(endpoint), cause) from None
        raise ServerError(operation, str(endpoint), cause, "check its log: circlepay logs") from None
