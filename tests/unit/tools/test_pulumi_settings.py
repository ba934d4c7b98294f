"""State backend and passphrase: ours where the user said nothing, the user's where they did."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tools import pulumi_settings
from tools.running import ToolError

USER = {"HOME": "/nonexistent"}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module_name, value in (
        ("CLONE_STATE", tmp_path / ".circlepay"),
        ("STATE", tmp_path / ".circlepay" / "state"),
        ("PASSPHRASE", tmp_path / ".circlepay" / "passphrase"),
        ("ROOT", tmp_path),
    ):
        monkeypatch.setattr(pulumi_settings, module_name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def _variables(environment: dict[str, str], stack: str = "local", *, own_build: bool = False) -> dict[str, str]:
    return pulumi_settings.variables(environment, stack, own_build=own_build)


def test_a_fresh_clone_keeps_its_state_to_itself(clone: Path) -> None:
    added = _variables(USER)
    assert added["PULUMI_BACKEND_URL"] == f"file://{clone}/.circlepay/state"
    assert added["PULUMI_CONFIG_PASSPHRASE_FILE"] == f"{clone}/.circlepay/passphrase"
    assert (clone / ".circlepay").stat().st_mode & 0o777 == 0o700


def test_the_passphrase_is_made_once_and_only_its_owner_reads_it(clone: Path) -> None:
    path = Path(_variables(USER)["PULUMI_CONFIG_PASSPHRASE_FILE"])
    first = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first.strip()) >= 40
    _variables(USER)
    assert path.read_text() == first
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["passphrase", "state"]


@pytest.mark.parametrize("name", ["PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"])
@pytest.mark.parametrize("value", ["", "theirs"])
def test_a_passphrase_of_the_users_is_kept_even_an_empty_one(clone: Path, name: str, value: str) -> None:
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in _variables(USER | {name: value})
    assert not (clone / ".circlepay" / "passphrase").exists()


@pytest.mark.parametrize("stack", ["local", "dev"])
def test_a_backend_of_the_users_is_kept(clone: Path, stack: str) -> None:
    assert "PULUMI_BACKEND_URL" not in _variables(USER | {"PULUMI_BACKEND_URL": "s3://bucket"}, stack)


def test_a_login_counts_for_every_stack_but_local(clone: Path) -> None:
    token = USER | {"PULUMI_ACCESS_TOKEN": "pul-x"}
    assert "PULUMI_BACKEND_URL" in _variables(token, "local")
    assert "PULUMI_BACKEND_URL" not in _variables(token, "dev")


def test_a_login_that_pulumi_remembers_counts_the_same(clone: Path) -> None:
    home = clone / "pulumi"
    home.mkdir()
    (home / "credentials.json").write_text(json.dumps({"current": "s3://bucket"}))
    environment = USER | {"PULUMI_HOME": str(home)}
    assert "PULUMI_BACKEND_URL" in _variables(environment, "local")
    assert "PULUMI_BACKEND_URL" not in _variables(environment, "dev")


def test_an_encrypted_stack_without_its_passphrase_is_an_error_not_a_new_one(clone: Path) -> None:
    (clone / "Pulumi.dev.yaml").write_text("config: {}\nencryptionsalt: v1:abc\n")
    with pytest.raises(ToolError, match=r"Pulumi\.dev\.yaml was encrypted"):
        _variables(USER, "dev")
    assert not (clone / ".circlepay" / "passphrase").exists()


def test_only_our_own_build_is_kept_from_updates_and_the_users_home(clone: Path) -> None:
    theirs = _variables(USER)
    assert not {"PULUMI_HOME", "PULUMI_SKIP_UPDATE_CHECK", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"} & set(theirs)
    ours = _variables(USER, own_build=True)
    assert ours["PULUMI_HOME"] == str(clone / "cache" / "circlepay" / "pulumi-home")
    assert _variables(USER | {"PULUMI_HOME": "/theirs"}, own_build=True)["PULUMI_HOME"] == "/theirs"


def test_a_stack_whose_passphrase_was_changed_has_its_own_and_locks_nobody_out(clone: Path) -> None:
    shared = _variables(USER, "local")["PULUMI_CONFIG_PASSPHRASE_FILE"]
    (clone / ".circlepay" / "passphrase-dev").write_text("changed\n")
    assert _variables(USER, "dev")["PULUMI_CONFIG_PASSPHRASE_FILE"] == f"{shared}-dev"
    assert _variables(USER, "local")["PULUMI_CONFIG_PASSPHRASE_FILE"] == shared


def test_what_pulumi_has_selected_is_known_by_the_backend(clone: Path) -> None:
    workspaces = clone / "pulumi" / "workspaces"
    workspaces.mkdir(parents=True)
    digest = hashlib.sha1(f"{clone}/Pulumi.yaml".encode(), usedforsecurity=False).hexdigest()
    environment = USER | {"PULUMI_HOME": str(clone / "pulumi"), "PULUMI_BACKEND_URL": "s3://bucket"}
    assert pulumi_settings.selected(environment) == ""
    path = workspaces / f"circlepay-{digest}-workspace.json"
    path.write_text(json.dumps({"stacks": {"s3://bucket": "organization/circlepay/dev"}}))
    assert pulumi_settings.selected(environment) == "dev"
    assert pulumi_settings.selected(environment | {"PULUMI_BACKEND_URL": "s3://other"}) == ""
    path.write_text("[")
    assert pulumi_settings.selected(environment) == ""
