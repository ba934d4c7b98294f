"""Which images tests run on, and tests/images/make.sh, which makes the stand-ins: once, whole, and only what changed.

Scripts stand in for the engine, for mmdebstrap and for apt; what they are given is looked at.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.images import references as test_images
from tools.paths import ROOT

FAKE_DOCKER = f"""#!{sys.executable}
import hashlib, io, json, os, sys, tarfile
from pathlib import Path

images = Path(os.environ["FAKE_IMAGES"])
words = sys.argv[1:]
with open(os.environ["FAKE_LOG"], "a") as log:
    print("docker", *words, file=log)
if words[:1] == [os.environ["FAKE_FAILING"]]:
    sys.exit("the engine refuses")
if words[:1] == ["load"]:
    content = sys.stdin.buffer.read()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
    name = manifest[0]["RepoTags"][0]
    (images / name.replace("/", "+")).write_bytes(content)
if words[:2] == ["image", "inspect"]:
    *_, template, name = words
    there = images / name.replace("/", "+")
    if not there.exists():
        sys.exit("no such image")
    with tarfile.open(there) as archive:
        configuration = archive.extractfile("configuration.json").read()
    labels = json.loads(configuration)["config"]["Labels"]
    asked = {{"{{{{.Id}}}}": "sha256:" + hashlib.sha256(configuration).hexdigest()}}
    print(asked.get(template, labels["circlepay.stand-in.recipe"]))
"""

FAKE_MMDEBSTRAP = """#!/bin/sh
for word in "$@"; do
    case $word in -*) ;; *) break ;; esac
    shift
done
echo "mmdebstrap $1 $CIRCLEPAY_VERSION" >>"$FAKE_LOG"
[ -z "$3" ] || cat "$3" >"$FAKE_SOURCES"
echo "$FAKE_SAYS"
echo half >"$2"
sleep "$FAKE_SECONDS"
[ "$FAKE_FAILING" != mmdebstrap ] || exit 1
tar -C "$(dirname "$0")" -cf "$2" mmdebstrap
"""

FAKE_APT_GET = """#!/bin/sh
printf '%s\\n' 'Other main stable http://other.test' 'Debian contrib bookworm http://contrib.test' \\
    'Debian main bookworm-updates http://updates.test' 'Debian main bookworm http://mirror.test/debian' \\
    'Debian main bookworm-security http://mirror.test/security' 'Debian main bookworm http://second.test'
"""

FAKES = {
    "docker": FAKE_DOCKER,
    "mmdebstrap": FAKE_MMDEBSTRAP,
    "apt-get": FAKE_APT_GET,
    "apt-config": "#!/bin/sh\n",
    "dpkg": "#!/bin/sh\necho amd64\n",
}


class Machine:
    """A copy of tests/images/ on a machine whose engine, archive and apt are stand-ins themselves."""

    def __init__(self, folder: Path) -> None:
        self.scripts = folder / "scripts"
        self.images = folder / "images"
        self.log = folder / "log"
        self.sources = folder / "sources"
        self.cache = folder / "cache" / "circlepay" / "test-images"
        shutil.copytree(ROOT / "tests" / "images", self.scripts)
        self.images.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        for name, text in FAKES.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.environment = dict(os.environ) | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "FAKE_LOG": str(self.log),
            "FAKE_IMAGES": str(self.images),
            "FAKE_SOURCES": str(self.sources),
            "FAKE_SECONDS": "0",
            "FAKE_SAYS": "",
            "FAKE_FAILING": "nothing",
        }

    def start(self, *names: str, **variables: str) -> subprocess.Popen[str]:
        """make.sh, begun."""
        self.log.write_text("")
        return subprocess.Popen(
            [str(self.scripts / "make.sh"), *names],
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def make(self, *names: str, code: int = 0, **variables: str) -> str:
        """What make.sh says."""
        run = self.start(*names, **variables)
        said, _ = run.communicate(timeout=60)
        assert run.returncode == code, said
        return said

    def asked(self, *programs: str) -> list[str]:
        """What a program was asked since make.sh was last begun: its first words."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [" ".join(line[:3]) for line in lines if line[0] in programs]

    def loaded(self) -> int:
        """How many images the engine was given since make.sh was last begun."""
        return self.asked("docker").count("docker load --quiet")

    def image(self, product: str, major: int) -> tarfile.TarFile:
        """What the engine was given of an image."""
        name = test_images.STAND_INS[product, major].replace("/", "+")
        return tarfile.open(fileobj=io.BytesIO((self.images / name).read_bytes()))

    def configuration(self, product: str, major: int) -> dict[str, Any]:
        """The configuration of an image that the engine was given."""
        with self.image(product, major) as archive:
            content: dict[str, Any] = json.loads(_content(archive, "configuration.json"))
        return content


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(("variable", "chosen"), [("", "STAND_INS"), ("0", "STAND_INS"), ("1", "OFFICIAL")])
def test_one_variable_chooses_the_images(monkeypatch: pytest.MonkeyPatch, variable: str, chosen: str) -> None:
    monkeypatch.setenv(test_images.OFFICIAL_BY, variable)
    wanted = getattr(test_images, chosen)
    assert {key: test_images.reference(*key) for key in wanted} == wanted
    argv = [str(ROOT / "tools" / "environment.sh"), "--bare", "tests.images.references"]
    told = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
    assert told.stdout.splitlines() == list(wanted.values())


def test_an_image_that_tests_do_not_have_is_an_error() -> None:
    with pytest.raises(KeyError):
        test_images.reference("postgres", 16)


def test_a_stand_in_says_so_in_its_name_and_stands_for_each_official_one() -> None:
    assert test_images.STAND_INS.keys() == test_images.OFFICIAL.keys()
    assert all(name.startswith("circlepay-stand-in/") for name in test_images.STAND_INS.values())


def test_all_are_made_once_and_then_left_alone(machine: Machine) -> None:
    said = machine.make()
    assert {path.name.replace("+", "/") for path in machine.images.iterdir()} == set(test_images.STAND_INS.values())
    assert sorted(machine.asked("mmdebstrap")) == [
        "mmdebstrap bookworm 15",
        "mmdebstrap bookworm 7",
        "mmdebstrap trixie 17",
        "mmdebstrap trixie 8",
    ]
    assert said.count(": made\n") == 4
    said = machine.make()
    assert said.splitlines() == [f"test images: {name}: there" for name in test_images.STAND_INS.values()]
    assert (machine.asked("mmdebstrap"), machine.loaded()) == ([], 0)


def test_only_what_is_named_is_made(machine: Machine) -> None:
    machine.make("circlepay-stand-in/redis:8")
    assert [path.name for path in machine.images.iterdir()] == ["circlepay-stand-in+redis:8"]


@pytest.mark.parametrize(
    ("changed", "from_debian"), [("docker-entrypoint.sh", []), ("rootfs.sh", ["bookworm 7", "trixie 8"])]
)
def test_a_changed_recipe_makes_the_images_of_it_again(machine: Machine, changed: str, from_debian: list[str]) -> None:
    machine.make()
    old = f"sha256:{hashlib.sha256(_content(machine.image('redis', 7), 'configuration.json')).hexdigest()}"
    with (machine.scripts / "redis" / changed).open("a") as script:
        script.write("# changed\n")
    said = machine.make()
    assert "postgres:17: there" in said
    assert "redis:8: made" in said
    assert machine.loaded() == 2
    assert machine.asked("mmdebstrap") == [f"mmdebstrap {what}" for what in from_debian]
    assert f"docker image rm {old}" in machine.log.read_text()


def test_a_contract_that_grew_makes_nothing_again(machine: Machine) -> None:
    machine.make()
    with (machine.scripts / "redis" / "contract.sh").open("a") as script:
        script.write("# another point\n")
    machine.make()
    assert machine.loaded() == 0


def test_an_image_that_was_removed_is_made_of_what_was_kept(machine: Machine) -> None:
    machine.make()
    (machine.images / "circlepay-stand-in+redis:7").unlink()
    machine.make()
    assert (machine.asked("mmdebstrap"), machine.loaded()) == ([], 1)


def test_of_two_at_once_each_image_is_made_once(machine: Machine) -> None:
    runs = [machine.start(FAKE_SECONDS="0.3"), machine.start(FAKE_SECONDS="0.3")]
    for run in runs:
        run.communicate(timeout=60)
    assert [run.returncode for run in runs] == [0, 0]
    assert len(machine.asked("mmdebstrap")) == 4


def test_a_killed_run_leaves_nothing_that_looks_finished(machine: Machine) -> None:
    run = machine.start(FAKE_SECONDS="2")
    deadline = time.monotonic() + 20
    while not machine.asked("mmdebstrap"):
        assert time.monotonic() < deadline, "nothing began"
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate(timeout=10)
    assert list(machine.cache.glob("*.tar")) == []
    # What makes the archive is in a process group of its own and goes on for a while: two must not write the same file.
    assert "waiting: another run is making them" in machine.make()
    assert len(machine.asked("mmdebstrap")) == 4


def test_an_archive_that_fails_shows_why_and_leaves_nothing(machine: Machine) -> None:
    said = machine.make(code=1, FAKE_FAILING="mmdebstrap", FAKE_SAYS="E: no such package")
    assert "E: no such package" in said
    assert "circlepay: test image circlepay-stand-in/postgres:15" in said
    assert "  -> its log: " in said
    assert list(machine.cache.glob("*.tar")) == []
    assert list(machine.images.iterdir()) == []


@pytest.mark.parametrize(("failing", "says"), [("version", "no Docker engine answers"), ("load", "did not take it")])
def test_an_engine_that_fails_is_named(machine: Machine, failing: str, says: str) -> None:
    said = machine.make(code=1, FAKE_FAILING=failing)
    assert says in said
    assert "  -> " in said
    assert list(machine.images.iterdir()) == []


def test_debian_comes_from_where_this_machines_apt_has_it(machine: Machine) -> None:
    machine.make("circlepay-stand-in/redis:8")
    assert machine.sources.read_text().splitlines() == [
        "deb http://mirror.test/debian trixie main",
        "deb http://mirror.test/debian trixie-updates main",
        "deb http://mirror.test/security trixie-security main",
    ]


@pytest.mark.parametrize(("product", "major"), list(test_images.STAND_INS))
def test_an_image_says_what_it_stands_in_for_and_is_whole(machine: Machine, product: str, major: int) -> None:
    machine.make(test_images.STAND_INS[product, major])
    configuration = machine.configuration(product, major)
    assert configuration["config"]["Labels"]["circlepay.stand-in"].startswith(
        f"for the official image {product}:{major},"
    )
    with machine.image(product, major) as archive:
        layers = [_content(archive, name) for name in ("debian.tar", "own.tar")]
        names = json.loads(_content(archive, "manifest.json"))[0]["Layers"]
    assert names == ["debian.tar", "own.tar"]
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    assert configuration["rootfs"]["diff_ids"] == digests


def test_what_the_server_writes_to_is_its_own(machine: Machine) -> None:
    machine.make("circlepay-stand-in/postgres:17")
    with (
        machine.image("postgres", 17) as archive,
        tarfile.open(fileobj=io.BytesIO(_content(archive, "own.tar"))) as own,
    ):
        owned = {entry.name: (entry.uid, oct(entry.mode)) for entry in own if entry.uid != 0}
        entry_point = own.getmember("usr/local/bin/docker-entrypoint.sh")
    assert owned == {
        "var/lib/postgresql": (999, "0o1777"),
        "var/lib/postgresql/data": (999, "0o1777"),
        "run/postgresql": (999, "0o3777"),
    }
    assert oct(entry_point.mode) == "0o755"
