"""Errors say operation, path, cause and hint, in text and in JSON."""

from __future__ import annotations

from infra.errors import CirclePayError, TargetError


def test_all_four_parts_are_in_the_message_and_in_json() -> None:
    error = TargetError("start postgres", "127.0.0.1:5432", "the port is taken", "choose another port")
    assert str(error) == "start postgres: 127.0.0.1:5432: the port is taken\n  -> choose another port"
    assert error.as_dict() == {
        "error": "TargetError",
        "operation": "start postgres",
        "path": "127.0.0.1:5432",
        "cause": "the port is taken",
        "hint": "choose another port",
    }


def test_every_error_of_the_package_has_one_root() -> None:
    import infra.errors as module

    classes = [item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__]
    assert len(classes) == 9
    assert all(issubclass(item, CirclePayError) for item in classes)
