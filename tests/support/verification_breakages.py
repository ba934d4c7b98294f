"""Promises broken on purpose, each with the checks that have to go red: those and no others."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.live_servers import AS_USER, owned
from tests.support.verification_breakage import (
    Breakage,
    by_mode,
    by_redis,
    by_restart,
    by_rules,
    by_sql,
    by_system_setting,
)
from tests.support.verification_object_breakages import OBJECTS, PRIVILEGES
from tests.support.verification_stack import Stack

OVERRIDDEN = "server settings: nothing overridden"


def redis_as_root(stack: Stack) -> None:
    """Start Redis without dropping privileges."""
    stack.stop("redis")
    stack.servers["redis"].prefix = ()
    try:
        stack.start("redis")
    finally:
        stack.servers["redis"].prefix = AS_USER


def redis_as_declared(stack: Stack) -> None:
    """Start Redis as its own user again."""
    stack.stop("redis")
    for path in (stack.folder / "redis").rglob("*"):
        owned(path)
    stack.start("redis")


SERVERS = [
    *(
        by_system_setting(
            setting,
            "off",
            f"server settings: durability {setting}",
            f"server settings: durability for the application {setting}",
            OVERRIDDEN,
        )
        for setting in ("fsync", "full_page_writes", "synchronous_commit")
    ),
    by_system_setting(
        "log_min_duration_statement", "0", "server settings: declared log_min_duration_statement", OVERRIDDEN
    ),
    by_system_setting("max_connections", "60", "server settings: nothing waits for a restart", OVERRIDDEN),
    by_system_setting("password_encryption", "md5", "server settings: password encryption"),
    by_sql(
        "a role has an MD5 verifier",
        f"CREATE ROLE old LOGIN PASSWORD 'md5{'0' * 32}'",
        "DROP ROLE old",
        "authentication: postgres stores scram verifiers",
    ),
    by_rules(
        "everybody is trusted",
        "host all all 127.0.0.1/32 trust",
        "authentication: postgres rules are scram",
        *(f"authentication: postgres authenticates by scram {who}" for who in ("superuser", "application")),
        *(
            f"authentication: postgres refuses {who}-{how}"
            for who in ("superuser", "application")
            for how in ("without a password", "with a wrong password")
        ),
    ),
    by_rules(
        "other machines are let in",
        "host all all 0.0.0.0/0 scram-sha-256",
        "authentication: postgres rules are for loopback",
    ),
    by_restart(
        "PostgreSQL listens on more and shows a password in argv",
        "postgres",
        lambda stack: [
            *("-c", "listen_addresses=127.0.0.1,127.0.0.2"),
            *("-c", f"unix_socket_directories={stack.folder}/postgres/run"),
            *("-c", f"circlepay.note={stack.subject.redis.password}"),
        ],
        "addresses: only declared addresses postgres",
        "addresses: no unix socket postgres",
        "server settings: listen addresses",
        "processes: command without secrets postgres",
    ),
]


def by_cache_setting(name: str, broken: str, right: str, *fails: str) -> Breakage:
    """Broken by CONFIG SET."""
    return by_redis(f"{name} {broken}", ("CONFIG", "SET", name, broken), ("CONFIG", "SET", name, right), *fails)


CACHE = [
    *(
        by_cache_setting(name, value, right, f"redis: documented {name}", f"redis: declared {name}")
        for name, value, right in (
            ("maxmemory", "64mb", "256mb"),
            ("maxmemory-policy", "noeviction", "allkeys-lru"),
            ("timeout", "600", "0"),
            ("tcp-keepalive", "60", "300"),
            ("loglevel", "warning", "notice"),
            ("save", "900 1", "900 1 300 10 60 10000"),
        )
    ),
    by_cache_setting(
        "bind", "127.0.0.1 127.0.0.2", "127.0.0.1", "addresses: only declared addresses redis", "redis: bind"
    ),
    by_restart(
        "modules may be loaded",
        "redis",
        lambda _: ["--enable-module-command", "yes"],
        "redis: closed to the application enable-module-command",
    ),
    by_cache_setting("protected-mode", "no", "yes", "redis: protected mode"),
    by_redis(
        "Redis has a second user",
        ("ACL", "SETUSER", "spy", "on", "nopass", "~*", "+@all"),
        ("ACL", "DELUSER", "spy"),
        "authentication: redis has no other user",
    ),
    by_redis(
        "Redis has a second password",
        ("ACL", "SETUSER", "default", ">second"),
        ("ACL", "SETUSER", "default", "<second"),
        "authentication: redis has no other user",
    ),
    by_redis(
        "Redis follows another server",
        ("REPLICAOF", "127.0.0.1", "1"),
        ("REPLICAOF", "NO", "ONE"),
        "redis: role",
        "redis: remembers",
    ),
]

FILES = [
    by_mode("postgres/config/pg_hba.conf", 0o644, 0o600, "files: private files postgres-config"),
    by_mode("redis/secrets/password.conf", 0o640, 0o600, "files: private files redis-secrets"),
    by_mode("redis/secrets", 0o755, 0o700, "files: private folder redis-secrets"),
    by_mode("postgres/data", 0o750, 0o700, "files: private folder postgres-data"),
]

AS_ROOT = [
    Breakage(
        "Redis runs as root",
        redis_as_root,
        redis_as_declared,
        frozenset({"processes: not root redis", "processes: user redis"}),
    ),
    Breakage(
        "a configuration belongs to another user",
        lambda stack: os.chown(stack.folder / "postgres/config/pg_hba.conf", 1, 1),
        lambda stack: os.chown(
            stack.folder / "postgres/config/pg_hba.conf", *_owner(stack.folder / "postgres" / "config")
        ),
        frozenset(
            {
                "files: private files postgres-config",
                "authentication: postgres rules are scram",
                "authentication: postgres rules are for loopback",
            }
        ),
    ),
]
"""What only root can break."""


def _owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


BREAKAGES = [*OBJECTS, *PRIVILEGES, *SERVERS, *CACHE, *FILES, *(AS_ROOT if os.geteuid() == 0 else [])]
