"""Builds the pinned Pulumi CLI and Python language host from source, once per user and pin."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tools import go
from tools.running import ToolError, say

VERSION = "3.259.0"
LANGUAGE_HOST_VERSION = "3.79.0"
"""The language host's last release inside the SDK's module; later ones are in no Go module."""

_MODULES = Path(__file__).resolve().parent
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"

PROGRAMS = (
    go.Program(
        _MODULES / "cli",
        "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        "about 6 minutes",
        {_VERSION_VARIABLE: f"v{VERSION}"},
    ),
    go.Program(
        _MODULES / "language",
        "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
        "about 1 minute",
        {_VERSION_VARIABLE: f"v{LANGUAGE_HOST_VERSION}"},
    ),
)


def install() -> Path:
    """The folder with `pulumi` and its Python language host, built where they are missing.

    Raises ToolError when there is no Go to be had, or a build fails.
    """
    return go.build(
        "toolchain",
        PROGRAMS,
        announcement=f"no usable `pulumi` on PATH: building Pulumi {VERSION} from source, this once; "
        "about 7 minutes on two cores",
        finish=_add_launcher,
    )


def _add_launcher(built_by: go.Go, binaries: Path) -> None:
    """The script by which the language host starts a program; it is source in the SDK's module."""
    launcher = binaries / "pulumi-language-python-exec"
    shutil.copyfile(_sdk_source(built_by) / "python" / "cmd" / launcher.name, launcher)
    launcher.chmod(0o755)
    say(f"Pulumi {VERSION} is built")


def _sdk_source(built_by: go.Go) -> Path:
    """Where Go unpacked the SDK's module, which it checked against go.sum."""
    result = subprocess.run(
        [built_by.program, "list", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi/sdk/v3"],
        cwd=PROGRAMS[0].module,
        env=dict(built_by.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise ToolError(f"go does not find the source of Pulumi's SDK:\n{result.stderr}")
    return Path(result.stdout.strip())
