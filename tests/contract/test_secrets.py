"""No secret leaves: state, debug logs, errors, server logs, argv and environ of every process, previews, JUnit, the tree."""

from __future__ import annotations

import gzip
import secrets as random_source
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.contract.conftest import CASES, made
from tests.secret_scanner import EVERY_SECRET, Leak, ProcessSampler, find_in_files, find_in_text
from tests.support.clones import Clone, Run
from tests.support.live import LiveStack

ODD = "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"
"""Printable characters that shells, URLs, JSON and dotenv each treat in their own way."""

CONFIGURED = {
    "superuser": f"super {ODD} {random_source.token_hex(8)}",
    "redis": f"redis-{random_source.token_hex(12)}",
    "api key": f"TEST_API_KEY:{random_source.token_hex(8)}:{random_source.token_hex(8)}",
    "entity secret": random_source.token_hex(32),
}


@pytest.fixture(scope="module")
def supplied(workplace: Path) -> Iterator[Clone]:
    """A clone with every kind of secret: generated, configured through Pulumi, and supplied by file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_HOME", str(workplace / "pulumi-home"))
        clone = made(CASES[0], workplace)
        clone.root.chmod(0o755)
        file = clone.root / "supplied-secrets"
        file.touch(mode=0o600)
        file.write_text(
            f"CIRCLE_SANDBOX_API_KEY={CONFIGURED['api key']}\nCIRCLE_ENTITY_SECRET={CONFIGURED['entity secret']}\n"
        )
        clone.configure(application={"suppliedSecretsFile": "supplied-secrets"})
        for path, name in (("postgres.superuserPassword", "superuser"), ("redis.password", "redis")):
            clone.pulumi(
                "config",
                "set",
                "--secret",
                "--path",
                f"circlepay:{path}",
                "--stack",
                clone.stack,
                "--",
                CONFIGURED[name],
            ).expect()
        try:
            yield clone
        finally:
            clone.end()


def _is_pulumis_own(leak: Leak) -> bool:
    """Pulumi hands a program its decrypted configuration in the environment: documented, and why files can be used instead."""
    return leak.place.startswith("environ of") and leak.secret in ("superuser", "redis")


def _unpacked(content: bytes) -> bytes:
    """Pulumi keeps a log of every command: packed until it knows the stack's key, then encrypted."""
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _all_secrets(live: LiveStack) -> dict[str, str]:
    """Every secret of the stack, the generated ones as the outputs and the env file tell them."""
    from infra.env_file import read_back

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
    with ProcessSampler(CONFIGURED) as cold:
        printed.append(supplied.up("--debug", "-v=8", "--logtostderr").expect())
    live = LiveStack(supplied)
    known = _all_secrets(live)
    assert all(known.values())
    live.app_stub()
    junit = supplied.root / "verification.xml"
    with ProcessSampler(known) as warm:
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
    folder = Path(live.outputs["postgres"]["folder"]).parent
    allowed = {
        live.env_path: EVERY_SECRET,
        supplied.root / "supplied-secrets": EVERY_SECRET,
        supplied.root / ".circlepay" / "passphrase": {"passphrase"},
        **{path: {"redis"} for path in (folder / "redis" / "secrets").iterdir()},
    }
    assert find_in_files([supplied.root, folder], known, allowed) == []
    logs = [path for path in (folder.parents[2] / "pulumi-home").rglob("*") if path.is_file()]
    assert len(logs) > 5
    for path in logs:
        assert find_in_text(_unpacked(path.read_bytes()), known, str(path)) == []
    for path in allowed:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_leak_planted_in_a_servers_log_is_found(supplied: Clone) -> None:
    """The search itself must be able to fail."""
    live = LiveStack(supplied)
    known = _all_secrets(live)
    log = next(Path(live.outputs["postgres"]["logPath"]).iterdir())
    before = log.read_bytes()
    try:
        log.write_bytes(before + known["application"].encode())
        assert [leak.secret for leak in find_in_files([log], known)] == ["application"]
    finally:
        log.write_bytes(before)
