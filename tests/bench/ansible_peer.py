"""Ansible with community.postgresql, keeping the same objects one by one: the peer of a refreshed no-op `up`."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.endpoint import Login
from tests.bench.programs import BENCH
from tests.support.clones import PROJECT_ROOT
from tools import python_environment

ENVIRONMENT = PROJECT_ROOT / ".circlepay" / "bench"
"""Where the dependency group `bench` is installed: an environment of its own, since Ansible brings very much."""

INSTALL = "tools/environment.sh python -m tests.bench --install-ansible"
SECONDS = 180.0


def install() -> None:
    """Installs the locked Ansible into its own environment; nothing is done where it is there."""
    python_environment.install_group("bench", ENVIRONMENT)


@dataclass(frozen=True)
class Ansible:
    """An installed ansible-playbook that knows community.postgresql."""

    playbook: Path

    @classmethod
    def find(cls) -> Ansible | str:
        """The one of the dependency group, else the one on PATH; or why there is none."""
        own = ENVIRONMENT / "bin" / "ansible-playbook"
        found = own if own.exists() else shutil.which("ansible-playbook")
        if found is None:
            return f"Ansible is not installed: {INSTALL}"
        asked = [str(Path(found).with_name("ansible-doc")), "--type", "module", "community.postgresql.postgresql_idx"]
        if subprocess.run(asked, capture_output=True, check=False).returncode:
            return f"the Ansible at {found} has no collection community.postgresql: {INSTALL}"
        return cls(Path(found))

    @property
    def version(self) -> str:
        """The first line of --version: `ansible-playbook [core 2.19.14]`."""
        done = subprocess.run([str(self.playbook), "--version"], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[0]


@dataclass(frozen=True)
class Keeping:
    """A server whose objects Ansible keeps, with files in `folder`."""

    ansible: Ansible
    folder: Path

    @classmethod
    def prepare(cls, ansible: Ansible, folder: Path, superuser: Login) -> Keeping:
        """The variables of the playbook for the server in `folder`; they hold passwords, so they are a file of ours alone."""
        folder.mkdir(mode=0o700)
        values = {
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "postgres_port": superuser.endpoint.port,
            "redis_port": 6379,
            "superuser": superuser.user,
            "superuser_password": superuser.password,
            "database": "circlepay_ansible",
            "role": "circlepay_ansible",
            "role_password": secrets.token_urlsafe(24),
            "folder": str(folder),
        }
        path = folder / "variables.json"
        path.touch(0o600)
        path.write_text(json.dumps(values))
        return cls(ansible, folder)

    def run(self) -> int:
        """Runs the playbook; answers how many tasks changed something. Raises AssertionError with its output when it fails."""
        argv = [str(self.ansible.playbook), str(BENCH / "ansible" / "playbook.yml")]
        argv += ["--inventory", "localhost,", "--extra-vars", f"@{self.folder / 'variables.json'}"]
        own = {
            "ANSIBLE_CONFIG": str(BENCH / "ansible" / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote"),
            "ANSIBLE_NOCOLOR": "1",
        }
        done = subprocess.run(
            argv,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        changed = re.search(
            r"^localhost\s+: ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=0", done.stdout, re.MULTILINE
        )
        assert changed, f"ansible-playbook ended with {done.returncode}:\n{done.stdout}"
        return int(changed[1])

    def run_finding_nothing(self) -> None:
        """A run that must change nothing."""
        changed = self.run()
        assert changed == 0, f"{changed} tasks changed something where nothing was to do"
