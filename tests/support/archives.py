"""Taking files out of an archive, also on the first releases of Python 3.11."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any


def extract(archive: tarfile.TarFile, folder: Path, trust: str) -> None:
    """Everything in the archive, below the folder. trust: `data` or `fully_trusted`; see PEP 706, which 3.11.4 brought."""
    options: dict[str, Any] = {"filter": trust} if hasattr(tarfile, "data_filter") else {}
    archive.extractall(folder, **options)  # noqa: S202  (of our own repository or container)
