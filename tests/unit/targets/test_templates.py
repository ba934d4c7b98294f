from __future__ import annotations

from infra.targets.templates import fill


def test_settings_go_to_their_lines_and_the_rest_to_the_rest() -> None:
    template = "# head\n{setting:a}\n{setting:missing}\nkeep {data}\n{other_settings}\n"
    filled = fill(template, {"b": "b 2", "a": "a 1\na 11", "c": "c {setting:a}"})
    assert filled == "# head\na 1\na 11\n\nkeep {data}\nb 2\nc {setting:a}\n"


def test_nothing_declared_leaves_nothing() -> None:
    assert fill("{setting:a}\n{other_settings}\n", {}) == "\n\n"
