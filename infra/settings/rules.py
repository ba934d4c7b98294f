"""Rules between settings: what is wrong although each value alone is right, and what is allowed but worth saying."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from pydantic import SecretStr

from infra.cache.memory import bytes_of
from infra.credentials.strength import EXAMPLE_VALUES, weakness
from infra.env_file.encoding import RESERVED_KEYS
from infra.postgres.locales import BUILTIN_LOCALES
from infra.settings.model import PRODUCTION_STACK, PROJECT, Environment, Settings, Target
from infra.settings.problems import Problem

SYSTEM_DATABASES = ("postgres", "template0", "template1")
RESERVED_ROLES = ("public", "none")
RESERVED_PREFIX = "pg_"
VARIABLES_OF_SHELLS = frozenset(
    {
        *("_", "BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"),
        *("BASH_ENV", "CDPATH", "ENV", "IFS", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH"),
    }
)
"""Read-only in a shell, which would stop in the middle of the file, or changing what it and its programs do."""
MINIMUM_MEMORY = 4 * 1024 * 1024
"""Bytes. An empty server needs between one and two MiB for itself; below that it evicts everything it is given."""
MINIMUM_KEY_LENGTH = 32
"""Characters. HS256 wants a key as long as its hash, 256 bits: RFC 7518 §3.2."""
POSTGRES_MEMORY_FACTOR = 2
"""Times shared_buffers: the rest is for connections and the page cache, which the engine counts as well."""
REDIS_MEMORY_FACTOR, REDIS_MEMORY_ROOM = 2, 4
"""Times maxmemory: while a snapshot is taken, every page that changes exists twice. With room: the file counts as well until
it is on the disk, and so do what the allocator holds back and the buffers of clients. At three times one was killed."""
SPARE_PROCESSES = 50
"""Processes beside those of connections: the server's own, parallel workers, health checks, interactive sessions."""
MINIMUM_REDIS_PIDS = 32


def violations(stack: str, settings: Settings) -> list[Problem]:
    """Everything wrong between the settings, in the order of RULES."""
    return [problem for rule in RULES for problem in rule(stack, settings)]


def warnings(settings: Settings) -> list[str]:
    """What is allowed but worth saying before anything is done: one sentence each, naming the setting."""
    return [f"{PROJECT}:{problem.setting} {problem.cause}" for warning in WARNINGS for problem in warning(settings)]


def names_are_not_reserved(_: str, settings: Settings) -> Iterator[Problem]:
    """No name that PostgreSQL keeps for itself: its own databases, `pg_global`, roles `public`, `none` and `pg_...`."""
    postgres = settings.postgres
    if postgres.database in SYSTEM_DATABASES:
        yield Problem(
            "postgres.database", "must not be a database that every server has (postgres, template0, template1)"
        )
    if postgres.tablespace == "pg_global":
        yield Problem("postgres.tablespace", "must not be pg_global, which holds shared catalogs only")
    for name, role in (
        ("superuser", postgres.superuser),
        ("ownerRole", postgres.owner_role),
        ("applicationRole", postgres.application_role),
    ):
        if role.startswith(RESERVED_PREFIX) or role in RESERVED_ROLES:
            yield Problem(f"postgres.{name}", "must be a name PostgreSQL allows: not public, not none, not pg_...")


def application_is_no_superuser(_: str, settings: Settings) -> Iterator[Problem]:
    """The application's role is not the superuser, in any stack."""
    if settings.postgres.application_role == settings.postgres.superuser:
        yield Problem(
            "postgres.applicationRole",
            f"must not be the superuser ({PROJECT}:postgres.superuser): give the application its own",
        )


def owner_is_a_role_of_its_own(_: str, settings: Settings) -> Iterator[Problem]:
    """The objects' owner is neither the superuser nor the application's role, in any stack."""
    postgres = settings.postgres
    for name, role in (("superuser", postgres.superuser), ("applicationRole", postgres.application_role)):
        if postgres.owner_role == role:
            yield Problem(
                "postgres.ownerRole",
                f"must not be {PROJECT}:postgres.{name}: what runs as the owner would reach as far as that role",
            )


def restrictions_go_together(_: str, settings: Settings) -> Iterator[Problem]:
    """`restrictApplication` is false where `restrictPublic` is: PUBLIC would give TEMPORARY to the role all the same."""
    if settings.postgres.restrict_application and not settings.postgres.restrict_public:
        yield Problem(
            "postgres.restrictApplication",
            f"must go with {PROJECT}:postgres.restrictPublic: PUBLIC includes the application's role",
        )


def ports_differ(_: str, settings: Settings) -> Iterator[Problem]:
    """The two servers have different ports."""
    if settings.redis.port is not None and settings.redis.port == settings.postgres.port:
        yield Problem("redis.port", f"must differ from {PROJECT}:postgres.port; unset, a free one is taken")


def locale_fits_its_provider(_: str, settings: Settings) -> Iterator[Problem]:
    """Where `localeProvider` is `builtin`, `locale` is one of its own: C, C.UTF-8, PG_UNICODE_FAST."""
    postgres = settings.postgres
    if postgres.locale_provider == "builtin" and postgres.locale not in BUILTIN_LOCALES:
        yield Problem(
            "postgres.locale",
            f"must be one of {', '.join(BUILTIN_LOCALES)} where localeProvider is builtin; for {postgres.locale} set "
            f"{PROJECT}:postgres.localeProvider to libc",
        )


def limits_fit_together(_: str, settings: Settings) -> Iterator[Problem]:
    """`connectionLimit` is not 0 and at most `maxConnections`; `lockTimeout` is shorter than `statementTimeout`."""
    postgres = settings.postgres
    if postgres.connection_limit == 0:
        yield Problem("postgres.connectionLimit", "must not be 0, which would lock the application out; -1 is no limit")
    if postgres.connection_limit > postgres.max_connections:
        yield Problem("postgres.connectionLimit", f"must be at most {PROJECT}:postgres.maxConnections; -1 is no limit")
    if postgres.lock_timeout >= postgres.statement_timeout:
        yield Problem(
            "postgres.lockTimeout", f"must be shorter than {PROJECT}:postgres.statementTimeout, or it never acts"
        )


def maxmemory_is_usable(_: str, settings: Settings) -> Iterator[Problem]:
    """`maxmemory` is 0 or at least 4mb, below which every key is evicted at once, and below 8 EiB."""
    limit = bytes_of(settings.redis.maxmemory)
    if limit and not MINIMUM_MEMORY <= limit < 2**63:
        yield Problem("redis.maxmemory", "must be 0 (no limit) or at least 4mb, and below 8 EiB")


def save_points_differ(_: str, settings: Settings) -> Iterator[Problem]:
    """No two snapshot points have the same seconds: one of them would never act."""
    seconds = Counter(point.seconds for point in settings.redis.save)
    if any(count > 1 for count in seconds.values()):
        yield Problem("redis.save", "must not have two entries of the same seconds")


def paths_are_of_files(_: str, settings: Settings) -> Iterator[Problem]:
    """Paths are of files, and without `..`: what lies outside the project is written as an absolute path."""
    application = settings.application
    files = {"envFile": settings.env_file, "application.suppliedSecretsFile": application.supplied_secrets_file}
    for name, path in files.items():
        parts = PurePosixPath(path).parts
        if ".." in parts:
            yield Problem(name, "must not go up by `..`: write an absolute path")
        elif path and (path.endswith("/") or parts in ((), ("/",))):
            yield Problem(name, "must be the path of a file, not of a folder")
    if application.supplied_secrets_file and application.supplied_secrets_file == settings.env_file:
        yield Problem("application.suppliedSecretsFile", f"must not be {PROJECT}:envFile, which is written from it")
    data = PurePosixPath(settings.processes.data_directory)
    if settings.processes.data_directory and (len(data.parts) < 2 or ".." in data.parts):
        yield Problem("processes.dataDirectory", "must be a folder of its own below /, without `..`")


def extra_keys_are_free(_: str, settings: Settings) -> Iterator[Problem]:
    """No name in `extra` is a key the env file has anyway, nor a variable that a shell or the loader lives by."""
    for name in settings.application.extra:
        if name in RESERVED_KEYS:
            yield Problem(f"application.extra.{name}", "is a key that the env file has anyway: choose another name")
        elif name in VARIABLES_OF_SHELLS:
            yield Problem(
                f"application.extra.{name}", "would change the shell that reads the env file: choose another name"
            )


def circle_values_have_one_source(_: str, settings: Settings) -> Iterator[Problem]:
    """Circle's values come from the stack's file or from `suppliedSecretsFile`, not from both."""
    application = settings.application
    if not application.supplied_secrets_file:
        return
    for name, secret in _circle_values(settings).items():
        if _text(secret):
            yield Problem(name, f"must be left out where {PROJECT}:application.suppliedSecretsFile is set")


def secrets_are_no_examples(_: str, settings: Settings) -> Iterator[Problem]:
    """No secret is an example value of the documentation, in any stack."""
    for name, secret in _secrets(settings).items():
        if _text(secret).casefold() in EXAMPLE_VALUES:
            yield Problem(name, "is an example value: supply a real one or leave it out")


def production_runs_as_production(stack: str, settings: Settings) -> Iterator[Problem]:
    """Production (the stack `prod`, or `environment` set to it) has DEBUG off and the verification on."""
    if not _is_production(stack, settings):
        return
    if settings.application.environment is not Environment.PRODUCTION:
        yield Problem("application.environment", "must be production in the stack `prod`")
    if settings.application.debug:
        yield Problem("application.debug", "must be false in production")
    if not settings.verify:
        yield Problem("verify", "must be true in production")


def production_has_its_circle_values(stack: str, settings: Settings) -> Iterator[Problem]:
    """Production has both of Circle's values."""
    if not _is_production(stack, settings) or settings.application.supplied_secrets_file:
        return
    for name, secret in _circle_values(settings).items():
        if not _text(secret):
            yield Problem(
                name,
                f"must be supplied in production: pulumi config set --secret --path '{PROJECT}:{name}', or "
                f"{PROJECT}:application.suppliedSecretsFile",
            )


def production_secrets_are_strong(stack: str, settings: Settings) -> Iterator[Problem]:
    """Production takes no weak secret: repetitive, fewer than 8 different characters, common words, keyboard rows."""
    if not _is_production(stack, settings):
        return
    for name, secret in _secrets(settings).items():
        text = _text(secret)
        if not text or text.casefold() in EXAMPLE_VALUES:
            continue
        if why := weakness(text):
            yield Problem(name, f"is too weak for production: it {why}")
        elif name.endswith("ecretKey") and len(text) < MINIMUM_KEY_LENGTH:
            yield Problem(name, f"must have at least {MINIMUM_KEY_LENGTH} characters in production")


def production_secrets_differ(stack: str, settings: Settings) -> Iterator[Problem]:
    """In production no two secrets are the same."""
    if _is_production(stack, settings):
        yield from _shared_secrets(settings, "must not be the same secret as {other} in production")


def container_limits_leave_room(_: str, settings: Settings) -> Iterator[Problem]:
    """On `docker`, memory and process limits leave room for `sharedBuffers`, `maxConnections` and `maxmemory`."""
    if settings.target is not Target.DOCKER:
        return
    docker, postgres = settings.docker, settings.postgres
    if 0 < docker.postgres_memory < POSTGRES_MEMORY_FACTOR * postgres.shared_buffers:
        yield Problem(
            "docker.postgresMemory",
            f"must be 0 or at least {POSTGRES_MEMORY_FACTOR} times {PROJECT}:postgres.sharedBuffers",
        )
    if 0 < bytes_of(f"{docker.redis_memory}mb") < REDIS_MEMORY_FACTOR * bytes_of(settings.redis.maxmemory):
        yield Problem(
            "docker.redisMemory", f"must be 0 or at least {REDIS_MEMORY_FACTOR} times {PROJECT}:redis.maxmemory"
        )
    if 0 < docker.postgres_pids < postgres.max_connections + SPARE_PROCESSES:
        yield Problem(
            "docker.postgresPids",
            f"must be 0 or at least {PROJECT}:postgres.maxConnections + {SPARE_PROCESSES}",
        )
    if 0 < docker.redis_pids < MINIMUM_REDIS_PIDS:
        yield Problem("docker.redisPids", f"must be 0 or at least {MINIMUM_REDIS_PIDS}")


def containers_log_to_the_engine(_: str, settings: Settings) -> Iterator[Problem]:
    """On `docker`, `redis.logfile` is left out: the engine keeps the container's output, and rotates it."""
    if settings.target is Target.DOCKER and settings.redis.logfile:
        yield Problem("redis.logfile", f"must be left out where {PROJECT}:target is docker: the engine keeps the log")


def registries_differ(_: str, settings: Settings) -> Iterator[Problem]:
    """No registry is listed twice."""
    addresses = [login.address for login in settings.docker.registries]
    if len(addresses) != len(set(addresses)):
        yield Problem("docker.registries", "must not list a registry twice")


def ssh_config_is_for_ssh_engines(_: str, settings: Settings) -> Iterator[Problem]:
    """`sshConfig` is left out where `docker.host` is a socket of this machine."""
    if settings.docker.ssh_config and settings.docker.host.startswith("unix://"):
        yield Problem("docker.sshConfig", f"must be left out where {PROJECT}:docker.host is a socket of this machine")


def publish_address_is_an_ip_address(_: str, settings: Settings) -> Iterator[Problem]:
    """`publishAddress` is an IP address."""
    address = settings.docker.publish_address
    try:
        ipaddress.ip_address(address or "127.0.0.1")
    except ValueError:
        yield Problem("docker.publishAddress", "must be an IP address of the engine's machine, or left out")


def circle_values_are_missing(settings: Settings) -> Iterator[Problem]:
    """A value of Circle's is empty, so calls to Circle will fail."""
    if settings.application.supplied_secrets_file:
        return
    for name, secret in _circle_values(settings).items():
        if not _text(secret):
            yield Problem(name, "is empty: calls to Circle will fail until it is supplied")


def secrets_are_shared(settings: Settings) -> Iterator[Problem]:
    """Two secrets are the same, which production refuses."""
    yield from _shared_secrets(settings, "is the same secret as {other}")


def verification_is_off(settings: Settings) -> Iterator[Problem]:
    """The verification is off, so the env file is published unproven."""
    if not settings.verify:
        yield Problem("verify", "is false: the env file is published without the verification")


def env_file_may_be_committed(settings: Settings) -> Iterator[Problem]:
    """The env file lies below the project's root under a name that git does not ignore."""
    path = PurePosixPath(settings.env_file)
    if settings.env_file and not path.is_absolute() and not path.name.startswith(".env."):
        yield Problem("envFile", f"is not ignored by git: name it .env.{path.name}, or add it to .gitignore")


def production_logs_at_debug(settings: Settings) -> Iterator[Problem]:
    """Production logs at DEBUG, which holds what customers send."""
    if (
        settings.application.environment is Environment.PRODUCTION
        and settings.application.effective_log_level == "DEBUG"
    ):
        yield Problem("application.logLevel", "is DEBUG in production: logs will hold what customers send")


def redis_has_no_snapshots(settings: Settings) -> Iterator[Problem]:
    """Redis has no snapshot points, so a restart starts empty."""
    if not settings.redis.save:
        yield Problem("redis.save", "is empty: a restart of Redis loses every key")


def redis_snapshots_have_little_room(settings: Settings) -> Iterator[Problem]:
    """On `docker`, a snapshot under load may take Redis to its memory limit, where it is killed."""
    limit, maxmemory = bytes_of(f"{settings.docker.redis_memory}mb"), bytes_of(settings.redis.maxmemory)
    if settings.target is Target.DOCKER and settings.redis.save and 0 < limit < REDIS_MEMORY_ROOM * maxmemory:
        yield Problem(
            "docker.redisMemory",
            f"is less than {REDIS_MEMORY_ROOM} times {PROJECT}:redis.maxmemory: a snapshot while much is written may take "
            "Redis to this limit, where it is killed",
        )


def published_beyond_loopback(settings: Settings) -> Iterator[Problem]:
    """Both servers are published beyond loopback: past the machine's firewall, and without TLS."""
    address = settings.docker.publish_address
    if settings.target is Target.DOCKER and address and not ipaddress.ip_address(address).is_loopback:
        yield Problem(
            "docker.publishAddress",
            "publishes both servers beyond this machine, past its firewall and without TLS: restrict who can "
            "reach them",
        )


def _is_production(stack: str, settings: Settings) -> bool:
    """Whether the strict rules hold: in the stack `prod` always, in others where `environment` is production."""
    return stack == PRODUCTION_STACK or settings.application.environment is Environment.PRODUCTION


def _secrets(settings: Settings) -> dict[str, SecretStr | None]:
    """By the name of their setting: those that are generated unless they are set, and Circle's."""
    return {
        "postgres.superuserPassword": settings.postgres.superuser_password,
        "postgres.applicationPassword": settings.postgres.application_password,
        "redis.password": settings.redis.password,
        "application.secretKey": settings.application.secret_key,
        "application.jwtSecretKey": settings.application.jwt_secret_key,
        **_circle_values(settings),
    }


def _circle_values(settings: Settings) -> dict[str, SecretStr | None]:
    return {
        "application.circleSandboxApiKey": settings.application.circle_sandbox_api_key,
        "application.circleEntitySecret": settings.application.circle_entity_secret,
    }


def _shared_secrets(settings: Settings, cause: str) -> Iterator[Problem]:
    holders: dict[str, list[str]] = defaultdict(list)
    for name, secret in _secrets(settings).items():
        if text := _text(secret):
            holders[text].append(name)
    for first, *others in holders.values():
        for name in others:
            yield Problem(name, cause.format(other=f"{PROJECT}:{first}"))


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


RULES: tuple[Callable[[str, Settings], Iterator[Problem]], ...] = (
    names_are_not_reserved,
    application_is_no_superuser,
    owner_is_a_role_of_its_own,
    restrictions_go_together,
    ports_differ,
    locale_fits_its_provider,
    limits_fit_together,
    maxmemory_is_usable,
    save_points_differ,
    paths_are_of_files,
    extra_keys_are_free,
    circle_values_have_one_source,
    secrets_are_no_examples,
    production_runs_as_production,
    production_has_its_circle_values,
    production_secrets_are_strong,
    production_secrets_differ,
    container_limits_leave_room,
    containers_log_to_the_engine,
    registries_differ,
    ssh_config_is_for_ssh_engines,
    publish_address_is_an_ip_address,
)

WARNINGS: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    circle_values_are_missing,
    secrets_are_shared,
    verification_is_off,
    env_file_may_be_committed,
    production_logs_at_debug,
    redis_has_no_snapshots,
    redis_snapshots_have_little_room,
    published_beyond_loopback,
)
