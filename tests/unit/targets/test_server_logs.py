from __future__ import annotations

from pathlib import Path

from infra.targets.server_logs import LINES, last_lines


def test_only_the_end_is_shown_without_secrets_and_blank_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number} hunter2hunter2\n\n" for number in range(5000)))
    shown = last_lines([tmp_path / "absent", log], {"password": "hunter2hunter2", "empty": ""})
    assert len(shown.splitlines()) == LINES
    assert shown.splitlines()[-1] == "    line 4999 [secret]"


def test_what_was_there_before_is_left_out_unless_the_log_was_begun_anew(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of yesterday\nof now\n")
    assert last_lines([log], {}, before={log: len("of yesterday\n")}) == "    of now"
    assert last_lines([log], {}, before={log: 1000}) == "    of yesterday\n    of now"


def test_silence_is_said(tmp_path: Path) -> None:
    assert last_lines([tmp_path / "absent"], {}) == "    (it wrote nothing to its log)"


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("root:secret")
    (tmp_path / "log").symlink_to(tmp_path / "shadow")
    assert "secret" not in last_lines([tmp_path / "log"], {})
