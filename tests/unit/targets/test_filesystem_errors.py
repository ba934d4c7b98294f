from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from infra.errors import TargetError
from infra.targets.filesystem_errors import explained


@pytest.mark.parametrize(
    ("number", "cause", "hint"),
    [
        (errno.ENOSPC, "no space left on device", "MiB are free at"),
        (errno.EACCES, "permission denied", "run as the user who brought this stack up"),
        (errno.EROFS, "read-only file system", "circlepay:processes.dataDirectory"),
        (errno.EIO, "input/output error", ""),
    ],
)
def test_an_error_of_the_system_says_where_what_and_what_to_do(
    tmp_path: Path, number: int, cause: str, hint: str
) -> None:
    with pytest.raises(TargetError) as caught, explained("write", tmp_path / "a" / "b"):
        raise OSError(number, os.strerror(number), "/some/file")
    assert (caught.value.path, caught.value.cause) == ("/some/file", cause)
    assert hint in caught.value.hint


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(KeyError), explained("write", tmp_path):
        raise KeyError("x")
