"""No secret leaves: state, debug logs, errors, server logs, argv and environ of every process, previews, JUnit, the tree."""

from __future__ import annotations

import gzip
import os
import secrets as random_source
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from infra.targets.clones import clone_id
from infra.verification.secret_scanner import EVERY_SECRET, Leak, ProcessSampler, find_in_files, find_in_text
from tests.contract.conftest import TARGETS, standing
from tests.support import engine
from tests.support.clones import Clone, Run
from tests.support.live import SERVERS, LiveStack
from tools.pulumi import docker_plugin
from tools.pulumi_settings import home

ODD = "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"
"""Printable characters that shells, URLs, JSON and dotenv each treat in their own way."""

CONFIGURED = {
    "superuser": f"super {ODD} {random_source.token_hex(8)}",
    "redis": f"redis-{random_source.token_hex(12)}",
    "api key": f"TEST_API_KEY:{random_source.token_hex(8)}:{random_source.token_hex(8)}",
    "entity secret": random_source.token_hex(32),
    "registry": f"registry-{random_source.token_hex(12)}",
}
SETTINGS = {
    "postgres.superuserPassword": "superuser",
    "redis.password": "redis",
    "docker.registries[0].password": "registry",
}
"""Where secrets are configured through Pulumi, and their names here."""


@pytest.fixture(scope="module", params=TARGETS, ids=lambda case: case.name)
def supplied(request: pytest.FixtureRequest, workplace: Path) -> Iterator[Clone]:
    """A clone with every kind of secret: generated, configured through Pulumi, and supplied by file."""
    with pytest.MonkeyPatch.context() as patch:
        _own_pulumi_home(workplace / f"pulumi-home-{request.param.name}", patch)
        with standing(request.param, workplace) as clone:
            clone.root.chmod(0o755)
            file = clone.root / "supplied-secrets"
            file.touch(mode=0o600)
            file.write_text(
                f"CIRCLE_SANDBOX_API_KEY={CONFIGURED['api key']}\nCIRCLE_ENTITY_SECRET={CONFIGURED['entity secret']}\n"
            )
            login = {"address": "registry.invalid:5000", "username": "somebody"}
            clone.configure(
                application={"suppliedSecretsFile": "supplied-secrets"},
                docker={**clone.config.get("circlepay:docker", {}), "registries": [login]},
            )
            for path, name in SETTINGS.items():
                where = ("--path", f"circlepay:{path}", "--stack", clone.stack)
                clone.pulumi("config", "set", "--secret", *where, "--", CONFIGURED[name]).expect()
            yield clone


def _own_pulumi_home(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """A home for Pulumi whose logs are of these tests alone, with the plugin that the session's own has."""
    plugin = home(os.environ) / "plugins" / docker_plugin.FOLDER_NAME
    if plugin.exists():
        shutil.copytree(plugin, folder / "plugins" / plugin.name, symlinks=True)
    patch.setenv("PULUMI_HOME", str(folder))


def _is_pulumis_own(leak: Leak) -> bool:
    """Pulumi hands a program its decrypted configuration in the environment: documented, and why files can be used instead."""
    return leak.place.startswith("environ of") and leak.secret in SETTINGS.values()


def _unpacked(content: bytes) -> bytes:
    """Pulumi keeps a log of every command: packed until it knows the stack's key, then encrypted."""
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _all_secrets(live: LiveStack) -> dict[str, str]:
    """Every secret of the stack, the generated ones as the outputs and the env file tell them."""
    from infra.env_file.encoding import read_back

    env = read_back(live.env_path.read_text())
    own = {
        "application": unquote(urlsplit(live.outputs["databaseUrl"]).password or ""),
        "secret key": env["SECRET_KEY"],
        "jwt key": env["JWT_SECRET_KEY"],
        "passphrase": (live.clone.root / ".circlepay" / "passphrase").read_text(),
    }
    return {**CONFIGURED, **own}


def test_no_secret_leaves_anywhere(supplied: Clone) -> None:
    printed: list[Run] = []
    with ProcessSampler(CONFIGURED) as cold, _engine_sampled(supplied, CONFIGURED):
        printed.append(supplied.up("--debug", "-v=8", "--logtostderr").expect())
    live = LiveStack(supplied)
    known = _all_secrets(live)
    assert all(known.values())
    live.app_stub()
    junit = supplied.root / "verification.xml"
    with ProcessSampler(known) as warm, _engine_sampled(supplied, known):
        with live.as_superuser() as connection:
            connection.execute("ALTER ROLE circlepay_user PASSWORD 'by hand, 0123456789'")
        printed.append(supplied.pulumi("preview", "--diff", "--stack", supplied.stack).expect())
        printed.append(supplied.pulumi("preview", "--json", "--stack", supplied.stack).expect())
        printed.append(supplied.up("--debug", "-v=8", "--logtostderr").expect())
        printed.append(supplied.run("circlepay", "verify", "--junit", str(junit), "--stack", supplied.stack))
        printed.append(supplied.run("circlepay", "status", "--json", "--stack", supplied.stack))
        printed.append(supplied.down().expect())
        broken = supplied.stack_file.read_text()
        supplied.stack_file.write_text(
            broken.replace("suppliedSecretsFile: supplied-secrets", "suppliedSecretsFile: absent")
        )
        printed.append(supplied.up("--debug", "-v=8", "--logtostderr"))
        supplied.stack_file.write_text(broken)
        printed.append(supplied.up())
    assert junit.exists()
    assert cold.looks > 10
    assert warm.looks > 10
    assert [leak for leak in [*cold.leaks, *warm.leaks] if not _is_pulumis_own(leak)] == []
    for run in printed:
        assert find_in_text(run.output, known, " ".join(run.arguments)) == []
    for place, text in _on_the_engine(live).items():
        assert find_in_text(text, known, place) == []
    copies = supplied.root.with_name(f"copies-of-{supplied.root.name}")
    postgres, _ = (live.server(name).laid_out(copies / name) for name in SERVERS)
    folder = postgres.parent
    allowed = {
        live.env_path: EVERY_SECRET,
        supplied.root / "supplied-secrets": EVERY_SECRET,
        supplied.root / ".circlepay" / "passphrase": {"passphrase"},
        **{path: {"redis"} for path in (folder / "redis" / "secrets").iterdir()},
    }
    assert find_in_files([supplied.root, folder], known, allowed) == []
    assert {path.name for path in folder.iterdir()} == set(SERVERS)
    pulumi_home = Path(os.environ["PULUMI_HOME"])
    logs = [path for path in pulumi_home.rglob("*") if path.is_file() and "plugins" not in path.parts]
    assert len(logs) > 5
    for path in logs:
        assert find_in_text(_unpacked(path.read_bytes()), known, str(path)) == []
    for path in allowed:
        assert path.stat().st_mode & 0o077 == 0, path


@contextmanager
def _engine_sampled(clone: Clone, secrets: dict[str, str]) -> Iterator[None]:
    """Where there are containers: no description holds a secret meanwhile, those of containers of a moment included."""
    if clone.config.get("circlepay:target") != "docker":
        yield
        return
    with engine.EngineSampler(secrets, clone_id(clone.root)) as sampler:
        yield
    assert sampler.leaks == set()
    assert len(sampler.seen) > 5


def _on_the_engine(live: LiveStack) -> dict[str, str | bytes]:
    """Descriptions of all that the clone has on the engine, and what its containers printed; nothing on `processes`."""
    servers = [server for name in SERVERS if isinstance(server := live.server(name), engine.ServerContainer)]
    logs: dict[str, str | bytes] = {f"log of {server.name}": server.log() for server in servers}
    return {**engine.descriptions(clone_id(live.clone.root)), **logs} if servers else {}


def test_a_leak_planted_in_a_servers_log_is_found(supplied: Clone) -> None:
    """The search itself must be able to fail."""
    live = LiveStack(supplied)
    known = _all_secrets(live)
    postgres = live.server("postgres")
    if isinstance(postgres, engine.ServerContainer):
        with live.as_superuser() as connection:
            connection.execute(b"DO $$ BEGIN RAISE LOG '" + known["application"].encode() + b"'; END $$")
        found = find_in_text(postgres.log(), known)
        assert {leak.secret for leak in found} == {"application"}
        return
    log = next(Path(live.outputs["postgres"]["location"]["placeholders"]["logs"]).iterdir())
    before = log.read_bytes()
    try:
        log.write_bytes(before + known["application"].encode())
        assert [leak.secret for leak in find_in_files([log], known)] == ["application"]
    finally:
        log.write_bytes(before)


@pytest.mark.only_on_docker
def test_a_leak_planted_in_a_description_is_found(supplied: Clone) -> None:
    live = LiveStack(supplied)
    known = _all_secrets(live)
    own = {engine.CLONE: clone_id(supplied.root)}
    environment = {"PASSWORD": known["application"]}
    with engine.container_of(engine.any_image(), labels=own, environment=environment) as planted:
        found = [leak for place, text in _on_the_engine(live).items() for leak in find_in_text(text, known, place)]
    assert planted
    assert {leak.secret for leak in found} == {"application"}
