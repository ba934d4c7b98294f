"""Where the project is."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds this package, and beside it `sql`, `config` and, in a checkout, `tools`."""
