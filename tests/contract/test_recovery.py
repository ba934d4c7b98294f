"""A lost state is no lost stack: data and env file bring it back, with the passwords the application already has."""

from __future__ import annotations

import shutil

from tests.support.clones import Clone
from tests.support.live import LiveStack


def test_lost_state_is_recovered_from_env_file_and_data(clone: Clone) -> None:
    clone.up().expect()
    before = LiveStack(clone)
    env_text = before.env_path.read_text()
    before.insert_user("kept@example.com")
    on_docker = clone.config.get("circlepay:target") == "docker"
    where = "" if on_docker else f":{clone.config['circlepay:processes']['dataDirectory']}"

    shutil.rmtree(clone.root / ".circlepay" / "state")
    (clone.root / ".circlepay" / "state").mkdir()
    clone.pulumi("stack", "init", clone.stack).expect()
    clone.configure()
    refused = clone.up()
    assert refused.code != 0
    assert "other secrets" in refused.output

    shutil.rmtree(clone.root / ".circlepay" / "state")
    (clone.root / ".circlepay" / "state").mkdir()
    clone.pulumi("stack", "init", clone.stack).expect()
    clone.configure()
    clone.pulumi(
        "import",
        "--yes",
        "--skip-preview",
        "--generate-code=false",
        "--stack",
        clone.stack,
        "circlepay:index:GeneratedSecrets",
        "secrets",
        f"{before.env_path}{where}",
    ).expect()
    clone.up().expect()
    after = LiveStack(clone)
    assert after.env_path.read_text() == env_text
    with after.as_application() as connection:
        assert connection.execute("SELECT count(*) FROM users WHERE email = 'kept@example.com'").fetchone() == (1,)
    assert set(clone.up_counts()) == {"same"}
