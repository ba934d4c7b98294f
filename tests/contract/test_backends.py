"""State backends: a folder (every other test) and S3-compatible object storage on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import boto3
import pytest

from tests.support.clones import Clone
from tests.support.live import LiveStack

BUCKET = "circlepay-state"
STORAGE_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}


@pytest.fixture
def object_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`host:port` of an S3-compatible server with an empty bucket."""
    from moto.server import ThreadedMotoServer

    for name, value in STORAGE_CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket=BUCKET)
        yield f"127.0.0.1:{port}"
    finally:
        server.stop()


def test_state_in_object_storage(clone_on_wheels: Clone, object_storage: str) -> None:
    url = f"s3://{BUCKET}?endpoint={object_storage}&disableSSL=true&s3ForcePathStyle=true&region=us-east-1"
    environment = {**STORAGE_CREDENTIALS, "PULUMI_BACKEND_URL": url}
    clone = clone_on_wheels
    clone.pulumi("stack", "init", clone.stack, environment=environment).expect()
    clone.configure()
    clone.up(environment=environment).expect()
    again = clone.up(environment=environment).expect()
    assert "unchanged" in again.output
    text = (
        clone.pulumi(
            "stack", "output", "--show-secrets", "databaseUrl", "--stack", clone.stack, environment=environment
        )
        .expect()
        .output
    )
    stored = boto3.client("s3", endpoint_url=f"http://{object_storage}")
    state = b"".join(
        stored.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
        for item in stored.list_objects_v2(Bucket=BUCKET)["Contents"]
    )
    assert b"circlepay_db" in state
    assert text.strip().encode() not in state
    for arguments in (
        ("state", "unprotect", "--all", "--yes", "--stack", clone.stack),
        ("destroy", "--yes", "--skip-preview", "--stack", clone.stack),
    ):
        clone.pulumi(*arguments, environment=environment).expect()
    assert not (clone.root / ".env.local").exists()


@pytest.mark.once_per_target
def test_passphrase_of_another_is_refused_before_anything_is_touched(live: LiveStack) -> None:
    run = live.clone.pulumi(
        "preview",
        "--stack",
        live.clone.stack,
        environment={"PULUMI_CONFIG_PASSPHRASE_FILE": "", "PULUMI_CONFIG_PASSPHRASE": "not it"},
    )
    assert run.code != 0
    assert "passphrase" in run.output
