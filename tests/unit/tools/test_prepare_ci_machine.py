"""tools/prepare-ci-machine.sh and .ci/run: what a bare machine gets, once, and what is left alone. apt and docker are scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.images import references as test_images
from tools.paths import ROOT

WRITES_DOWN = '#!/bin/sh\necho "{name} $*" >>"$FAKE_LOG"\n{then}\n'

FAKE_DOCKER = """
case "$1 $2" in
    'image inspect') case " $FAKE_PRESENT " in *" $3 "*) ;; *) exit 1 ;; esac ;;
    'pull --quiet') [ "$3" != "$FAKE_FAILING" ] ;;
esac
"""

SHELL = (
    "sh",
    "cat",
    "chmod",
    "dirname",
    "find",
    "grep",
    "ls",
    "mkdir",
    "rm",
    "timeout",
    "tr",
    "python3",
    "git",
    "ps",
    "make",
)
LOOKED_FOR = ("docker", "dockerd", "docker-registry", "mmdebstrap", "redis-server")


FILES = (
    "etc/ssl/certs/ca-certificates.crt",
    "usr/lib/postgresql/15/bin/initdb",
    "usr/share/keyrings/debian-archive-keyring.gpg",
    "var/lib/apt/lists/Release",
    "usr/sbin/sshd",
)
PLACES = (
    *FILES[:1],
    "usr/lib/postgresql",
    FILES[2],
    "var/lib/apt/lists",
    "usr/sbin/policy-rc.d",
    FILES[4],
    "etc/postgresql-common",
)


class Machine:
    """A copy of the scripts on a machine that has a few programs and files only; apt and the engine are stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.log = folder / "log"
        self.programs = folder / "bin"
        shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / ".ci", folder / ".ci")
        shutil.copytree(ROOT / "tests" / "images", folder / "tests" / "images")
        self.programs.mkdir()
        self._move_its_files_here()
        for name in SHELL:
            (self.programs / name).symlink_to(str(shutil.which(name)))
        for name in LOOKED_FOR:
            self.program(name)
        self.program("docker", FAKE_DOCKER)
        self.program("apt-get")
        self.program("apt-cache", "exit 100")
        self.program("id", "echo 0")
        for script in ("engine.sh", "make.sh"):
            self.replace(f"tests/images/{script}")

    def _move_its_files_here(self) -> None:
        for path in (*FILES, "usr/sbin/nothing"):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).touch()
        script = self.root / "tools" / "prepare-ci-machine.sh"
        text = script.read_text()
        for place in PLACES:
            assert f"/{place}" in text
            text = text.replace(f"/{place}", str(self.root / place))
        script.write_text(text)

    def program(self, name: str, then: str = "") -> None:
        """A program of this machine, which writes down how it was called."""
        self.replace(f"bin/{name}", then)

    def replace(self, path: str, then: str = "") -> None:
        """A script that only writes down how it was called."""
        (self.root / path).write_text(WRITES_DOWN.format(name=Path(path).name, then=then))
        (self.root / path).chmod(0o755)

    def run(self, script: str = "tools/prepare-ci-machine.sh", **variables: str) -> subprocess.CompletedProcess[str]:
        """A script, and what it asked of whom."""
        self.log.write_text("")
        environment = {
            "PATH": str(self.programs),
            "HOME": str(self.root),
            "FAKE_LOG": str(self.log),
            "FAKE_PRESENT": "",
            "FAKE_FAILING": "",
        }
        return subprocess.run(
            [str(self.root / script)],
            env=environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def asked(self, *programs: str) -> list[str]:
        """How these programs were called."""
        return [line.strip() for line in self.log.read_text().splitlines() if line.split()[0] in programs]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_where_everything_is_there_nothing_is_installed(machine: Machine) -> None:
    run = machine.run()
    assert (run.returncode, run.stdout, run.stderr) == (0, "everything is here\n", "")
    assert machine.asked("apt-get") == []
    assert machine.asked("engine.sh", "make.sh") == ["engine.sh", "make.sh"]


@pytest.mark.parametrize("missing", ["mmdebstrap", "docker-registry", "redis-server"])
def test_what_is_missing_is_installed_and_nothing_else(machine: Machine, missing: str) -> None:
    (machine.programs / missing).unlink()
    run = machine.run()
    assert run.returncode == 0, run.stderr
    update, install = machine.asked("apt-get")
    assert update == "apt-get update -qq"
    assert install == f"apt-get install -y -qq --no-install-recommends {missing}"


@pytest.mark.parametrize(
    ("missing", "package"),
    [
        (FILES[0], "ca-certificates"),
        (FILES[1], "postgresql"),
        (FILES[2], "debian-archive-keyring"),
        (FILES[4], "openssh-server"),
    ],
)
def test_what_is_no_program_is_looked_for_too(machine: Machine, missing: str, package: str) -> None:
    (machine.root / missing).unlink()
    machine.run()
    assert machine.asked("apt-get")[-1].endswith(f" {package}")


@pytest.mark.parametrize("theirs", [None, "exit 0"])
def test_no_service_is_started_by_installing_and_no_cluster_made(machine: Machine, theirs: str | None) -> None:
    policy = machine.root / "usr" / "sbin" / "policy-rc.d"
    cluster = machine.root / "etc" / "postgresql-common" / "createcluster.conf"
    if theirs:
        policy.write_text(theirs)
    machine.program("apt-get", f'[ $1 = update ] || cat "{policy}" "{cluster}" >>"$FAKE_LOG"')
    (machine.programs / "mmdebstrap").unlink()
    assert machine.run().returncode == 0
    said = machine.log.read_text()
    assert (theirs or "exit 101") in said
    assert "create_main_cluster = false" in said
    assert (policy.read_text() if policy.exists() else None) == theirs


def test_apt_is_asked_for_its_lists_before_stand_ins_are_made_of_them(machine: Machine) -> None:
    (machine.root / FILES[3]).unlink()
    assert machine.run().returncode == 0
    assert machine.asked("apt-get", "make.sh") == ["apt-get update -qq", "make.sh"]


def test_a_machine_without_docker_gets_the_engine(machine: Machine) -> None:
    for name in ("docker", "dockerd"):
        (machine.programs / name).unlink()
    machine.run()
    assert machine.asked("apt-get")[-1].endswith(" docker.io iptables iproute2")


def test_from_debian_13_on_the_client_is_a_package_of_its_own(machine: Machine) -> None:
    for name in ("docker", "dockerd"):
        (machine.programs / name).unlink()
    machine.program("apt-cache")
    machine.run()
    assert machine.asked("apt-get")[-1].endswith(" docker.io iptables iproute2 docker-cli")


def test_where_somebodys_engine_answers_none_is_installed(machine: Machine) -> None:
    (machine.programs / "dockerd").unlink()
    assert machine.run().returncode == 0
    assert machine.asked("apt-get") == []


def test_without_root_it_names_what_is_missing_and_touches_nothing(machine: Machine) -> None:
    (machine.programs / "mmdebstrap").unlink()
    machine.program("id", "echo 1000")
    run = machine.run()
    assert run.returncode == 1
    assert "circlepay: not installed: mmdebstrap" in run.stderr
    assert "  -> installing packages needs root" in run.stderr
    assert machine.asked("apt-get", "engine.sh", "make.sh") == []


def test_a_failing_archive_is_named(machine: Machine) -> None:
    (machine.programs / "mmdebstrap").unlink()
    machine.program("apt-get", "exit 100")
    run = machine.run()
    assert run.returncode == 1
    assert "circlepay: apt-get update failed" in run.stderr


@pytest.mark.parametrize("failing", ["engine.sh", "make.sh"])
def test_a_step_that_fails_ends_it(machine: Machine, failing: str) -> None:
    machine.replace(f"tests/images/{failing}", "exit 1")
    run = machine.run()
    assert run.returncode == 1
    assert "everything is here" not in run.stdout


def test_official_images_are_pulled_where_they_are_asked_for_and_missing(machine: Machine) -> None:
    run = machine.run(CI_OFFICIAL_IMAGES="1", FAKE_PRESENT="postgres:17")
    assert run.returncode == 0, run.stderr
    wanted = [name for name in test_images.OFFICIAL.values() if name != "postgres:17"]
    assert [line for line in machine.asked("docker") if "pull" in line] == [
        f"docker pull --quiet {name}" for name in wanted
    ]
    assert machine.asked("make.sh") == []
    machine.run(CI_OFFICIAL_IMAGES="1", FAKE_PRESENT=" ".join(test_images.OFFICIAL.values()))
    assert [line for line in machine.asked("docker") if "pull" in line] == []


def test_an_official_image_that_cannot_be_pulled_is_named(machine: Machine) -> None:
    run = machine.run(CI_OFFICIAL_IMAGES="1", FAKE_FAILING="redis:7-alpine")
    assert run.returncode == 1
    assert "circlepay: redis:7-alpine could not be pulled" in run.stderr


def test_the_whole_run_has_the_docker_plugin_built_and_allows_no_skip(machine: Machine) -> None:
    says = 'echo "$CIRCLEPAY_BUILD_DOCKER_PLUGIN" >>"$FAKE_LOG"'
    machine.replace("tools/prepare-ci-machine.sh")
    machine.replace("tools/environment.sh", says)
    machine.program("make-tests", says)
    (machine.programs / "make").unlink()
    (machine.programs / "make-tests").rename(machine.programs / "make")
    (machine.programs / "bash").symlink_to(str(shutil.which("bash")))
    run = machine.run(".ci/run")
    assert run.returncode == 0, run.stderr
    assert machine.log.read_text().splitlines() == [
        "prepare-ci-machine.sh ",
        "environment.sh pulumi version",
        "1",
        "make-tests --no-print-directory test REQUIRE_ALL=1",
        "1",
    ]


@pytest.mark.parametrize("failing", ["tools/prepare-ci-machine.sh", "tools/environment.sh", "bin/make"])
def test_a_step_of_the_whole_run_that_fails_fails_it(machine: Machine, failing: str) -> None:
    (machine.programs / "make").unlink()
    (machine.programs / "bash").symlink_to(str(shutil.which("bash")))
    for path in ("tools/prepare-ci-machine.sh", "tools/environment.sh", "bin/make"):
        machine.replace(path, "exit 3" if path == failing else "")
    assert machine.run(".ci/run").returncode != 0


def test_this_machine_is_prepared_and_stays_as_it_is() -> None:
    """The real script, on the real machine, where it has been run before."""
    docker = shutil.which("docker")
    if (
        os.geteuid() != 0
        or docker is None
        or subprocess.run([docker, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs a machine that is prepared, and root: tools/prepare-ci-machine.sh")
    listed = [docker, "image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]
    before = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    ours = {line for line in before if line.split()[0] in test_images.references().values()}
    if len(ours) < len(test_images.references()):
        pytest.skip("needs the images of the tests: as root, tools/prepare-ci-machine.sh")
    argv = [str(ROOT / "tools" / "prepare-ci-machine.sh")]
    run = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    assert "installed:" not in run.stdout
    assert ": made" not in run.stdout
    after = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    assert ours <= set(after)
