"""The proof that a PostgreSQL server is alive: its superuser can log in."""

from __future__ import annotations

import math
from collections.abc import Mapping

import psycopg

from infra.endpoint import Endpoint
from infra.errors import ServerError
from infra.targets.spec import CredentialsRefused

REFUSALS = ("password authentication failed", "does not exist")
"""Of the server's messages (lc_messages is C): the role's password is another one, or there is no such role."""


def probe(endpoint: Endpoint, secrets: Mapping[str, str], timeout: float, *, superuser: str) -> str:
    """Logs in as the superuser and answers the server's version ("18.6").

    Raises CredentialsRefused, or ServerError when there is no answer or the server is still starting.
    """
    operation = f"log in to postgres as {superuser}"
    try:
        # Everything is said here, so that no PG* variable of the user's environment has a say.
        with psycopg.connect(
            host=endpoint.host,
            port=endpoint.port,
            user=superuser,
            password=secrets["superuser_password"],
            dbname="postgres",
            options="",
            sslmode="prefer",
            gssencmode="disable",
            target_session_attrs="any",
            application_name="circlepay",
            connect_timeout=max(2, math.ceil(timeout)),
            autocommit=True,
        ) as connection:
            return (connection.info.parameter_status("server_version") or "unknown").split()[0]
    except psycopg.OperationalError as error:
        cause = " ".join(str(error).split())
        if any(refusal in cause for refusal in REFUSALS):
            raise CredentialsRefused(operation, str(endpoint), cause) from None
        raise ServerError(operation, str(endpoint), cause, "look into its log: circlepay logs") from None
