"""The documentation is true: what it links to, names, quotes and tells people to type exists.

And it is complete: what can be typed or go wrong is in it.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import astuple
from functools import cache
from pathlib import Path

import pytest
import yaml
from pydantic.alias_generators import to_camel

from infra import errors
from infra.cli import cli
from infra.postgres.locales import BUILTIN_LOCALES
from infra.postgres.parameters import RESTART_ONLY
from infra.settings.docker import DockerSettings
from infra.settings.loading import parse
from infra.settings.model import Settings
from infra.settings.problems import fields
from infra.targets.docker import ownership
from infra.targets.docker.container_location import FILES_ROOT

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
SOURCE_DOCUMENT = ROOT / "docs" / "source-document.ko.md"
"""Somebody else's text, kept verbatim: its commands are what this package replaces."""

PAGES = sorted(path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if path != SOURCE_DOCUMENT)
ORDINARY = {
    "apt-get",
    "cd",
    "chmod",
    "cp",
    "docker",
    "eval",
    "export",
    "git",
    "kill",
    "mkdir",
    "mv",
    "pg_dump",
    "psql",
    "rm",
    "sudo",
    "systemctl",
}
"""Programs of the machine: that they exist is not ours to test."""

GENERATED = re.compile(r"^(\.circlepay|\.venv|\.env[.\w-]*|Pulumi\.local\.yaml)(/|$)")
"""Made by running the package, so not in the tree."""

PLATFORM = re.compile(r"^linux/[a-z0-9]+$")
"""What an image is for, which looks like a path."""


def named(path: Path) -> str:
    """A page's name in test ids and messages."""
    return str(path.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=named)


def code_blocks(page: Path, language: str) -> list[str]:
    """The page's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


# Links and files ------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


PATH = re.compile(r"^(?:\.?[a-z][\w-]*/[\w.*/-]*|[A-Z][\w.-]*\.(?:md|yaml)|Makefile|[a-z]+\.(?:toml|lock))$")


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    named_here = {name for name in re.findall(r"`([^`\n]+)`", prose(page)) if PATH.match(name)}
    names = {name for name in named_here if not GENERATED.match(name) and not PLATFORM.match(name)}
    assert [name for name in sorted(names) if "NNNN" not in name and not list(beside(page, name))] == []


def beside(page: Path, name: str) -> Iterator[Path]:
    """What the name stands for, from the root or from the page's folder."""
    for folder in (ROOT, page.parent):
        yield from folder.glob(name.rstrip("/"))


@every_page
def test_tests_that_are_named_exist(page: Path) -> None:
    for path, function in re.findall(r"`(tests/[\w/]+\.py)::(\w+)", page.read_text()):
        assert re.search(rf"^def {function}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{function}"


# Commands -------------------------------------------------------------------------------------------------------------


def commands(text: str) -> Iterator[list[str]]:
    """The command lines of a shell block as words, comments and continuations taken care of, `eval "$(...)"` opened."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"\s(?:\||&&|;)\s", re.sub(r"\s[<>]\s*\S+", "", line)):
            words = shlex.split(part, comments=True)
            if words[:1] == ["eval"] and (inner := re.fullmatch(r"\$\((.*)\)", words[1])):
                yield shlex.split(inner[1])
            elif words:
                yield words


def problem(words: list[str]) -> str:
    """Why a command cannot be what it says, empty when it can."""
    program, *rest = words
    checks = {"make": make_problem, "circlepay": circlepay_problem, "pulumi": pulumi_problem, "python": python_problem}
    if program == "tools/environment.sh":
        return environment_problem(rest)
    if program in checks:
        return checks[program](rest)
    if program.startswith("."):
        return "" if (ROOT / program).exists() else "is no file"
    assigns = re.match(r"[A-Z_]+=", program)
    return "" if program in ORDINARY or assigns else "is a program nobody has"


def environment_problem(words: list[str]) -> str:
    usage = (ROOT / "tools" / "environment.sh").read_text()
    if words[:1] and words[0].startswith("--"):
        if words[0] not in usage:
            return f"{words[0]} is no option of tools/environment.sh"
        words = words[1:]
    return problem(words) if words else ""


def make_problem(words: list[str]) -> str:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z ]+):", makefile, re.MULTILINE))
    known = {target for line in targets for target in line.split()}
    for word in words:
        name, assigned, _ = word.partition("=")
        if assigned and f"{name} ?=" not in makefile:
            return f"{name} is no variable of the Makefile"
        if not assigned and name not in known:
            return f"{name} is no target of the Makefile"
    return ""


def circlepay_problem(words: list[str]) -> str:
    if not words or words[0] in {"--help", "-h", "VERB"}:
        return ""
    verb = cli.commands.get(words[0])
    if verb is None:
        return f"{words[0]} is no verb of circlepay"
    known = {option for parameter in verb.params for option in (*parameter.opts, *parameter.secondary_opts)}
    own = words[1 : words.index("--")] if "--" in words else words[1:]
    unknown = [word for word in own if word.startswith("-") and word not in known | {"--help"}]
    return f"{unknown[0]} is no option of circlepay {words[0]}" if unknown else ""


def python_problem(words: list[str]) -> str:
    if words[:1] != ["-m"]:
        return "is not python -m MODULE"
    path = ROOT / words[1].replace(".", "/")
    exists = path.with_suffix(".py").exists() or (path / "__main__.py").exists()
    return "" if exists else f"there is no module {words[1]}"


def pulumi_problem(words: list[str]) -> str:
    """Settings by the model; flags by Pulumi's own help."""
    setting = next((word for word in words if words[0] == "config" and word.startswith("circlepay:")), "")
    name = re.sub(r"\[\d+\]", "", setting.removeprefix("circlepay:"))
    if setting and not {name, re.sub(r"^(application\.extra)\..+", r"\1", name)} & setting_names():
        return f"{setting} is no setting"
    command = [word for word in words if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
    depth = 2 if command[0] in {"stack", "config", "state", "plugin"} else 1
    help_text = pulumi_help(tuple(command[:depth]))
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    unknown = [flag for flag in flags if not re.search(rf"{flag}\b", help_text)]
    return f"{unknown[0]} is no flag of pulumi {' '.join(command[:depth])}" if unknown else ""


@cache
def pulumi_help(command: tuple[str, ...]) -> str:
    program = shutil.which("pulumi")
    if program is None:
        pytest.skip("needs pulumi on PATH to know its flags: run through tools/environment.sh")
    done = subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"pulumi {' '.join(command)}: {done.stderr}"
    return done.stdout


@every_page
def test_secrets_are_copied_to_no_place_that_git_sees(page: Path) -> None:
    copies = [words for block in code_blocks(page, "sh") for words in commands(block) if words[0] in {"cp", "mv"}]
    secret = [words for words in copies if any(GENERATED.match(word) for word in words[1:-1])]
    assert [shlex.join(words) for words in secret if not words[-1].startswith(("~/", "/"))] == []


@every_page
def test_commands_can_be_typed(page: Path) -> None:
    wrong = []
    for block in code_blocks(page, "sh"):
        wrong += [f"{shlex.join(words)}: {why}" for words in commands(block) if (why := problem(words))]
    assert wrong == []


@every_page
def test_commands_in_text_can_be_typed(page: Path) -> None:
    found = re.findall(r"`((?:make|circlepay|tools/environment\.sh) [^`\n]+)`", prose(page))
    wrong = [f"{text}: {why}" for text in found for words in commands(text) if (why := problem(words))]
    assert wrong == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("make upp", "no target"),
        ("make up STAK=dev", "no variable"),
        ("circlepay monitr", "no verb"),
        ("circlepay logs --tail 3", "no option"),
        ("tools/environment.sh --expoort", "no option"),
        ("tools/environment.sh circlepay monitr", "no verb"),
        ("python -m tools.nothing", "no module"),
        ("pulumi config set --path circlepay:redis.maxmemry 1gb", "no setting"),
        ("pulumi up --yess", "no flag"),
        ("circlepayy status", "nobody has"),
    ],
)
def test_wrong_commands_are_noticed(command: str, why: str) -> None:
    assert why in "".join(problem(words) for words in commands(command))


# Completeness ---------------------------------------------------------------------------------------------------------


def test_readme_begins_with_the_two_commands() -> None:
    assert [words[:2] for words in commands(code_blocks(README, "sh")[0])] == [["make", "up"], ["make", "test"]]


@pytest.mark.parametrize("page", [README, ROOT / "README.ko.md"], ids=named)
def test_every_make_target_is_in_the_readme(page: Path) -> None:
    targets = re.findall(r"@echo '  make ([a-z]+)", (ROOT / "Makefile").read_text())
    assert len(targets) > 8
    assert [target for target in targets if f"make {target}" not in page.read_text()] == []


@pytest.mark.parametrize("page", [README, ROOT / "README.ko.md"], ids=named)
def test_every_verb_is_in_the_readme(page: Path) -> None:
    text = page.read_text()
    assert [verb for verb in cli.commands if not re.search(rf"`(circlepay )?{verb}\b", text)] == []


KOREAN_README = ROOT / "README.ko.md"
ONLY_KOREAN = "문서의 항목 → 이 패키지에서"
"""The section that only the Korean readme has: it maps the source document, which is Korean."""


def sections(page: Path) -> list[str]:
    """The page cut at its headings of the second level, what precedes them first."""
    return [
        text for text in re.split(r"^## ", page.read_text(), flags=re.MULTILINE) if not text.startswith(ONLY_KOREAN)
    ]


def language_free(section: str) -> dict[str, list[str]]:
    """What a section has in common with its translation: what is typed, linked and measured, tables and lists."""
    blocks = re.findall(r"^```(.*?)^```", section, re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```", "", section, flags=re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\|.*\|$", text, re.MULTILINE)
    links = {re.sub(r"^#.*|^README.*", "", link) for link in re.findall(r"\]\(([^)\s]+)\)", text)}
    return {
        "code": [re.sub(r" *#.*", "", line) for block in blocks for line in block.splitlines()],
        "links": sorted(links),
        "rows": [" ".join(re.findall(r"\d[\d.]*", row)) for row in rows],
        "items": re.findall(r"^- ", text, re.MULTILINE),
    }


EACH_SECTION = list(zip(sections(README), sections(KOREAN_README), strict=True))
SECTION_NAMES = [english.partition("\n")[0] for english, _ in EACH_SECTION]


@pytest.mark.parametrize(("english", "korean"), EACH_SECTION, ids=SECTION_NAMES)
def test_the_korean_readme_has_every_section_in_its_place(english: str, korean: str) -> None:
    assert language_free(korean) == language_free(english)


@pytest.mark.parametrize(("english", "korean"), EACH_SECTION, ids=SECTION_NAMES)
def test_the_korean_readme_names_everything_that_the_english_one_names(english: str, korean: str) -> None:
    def names(text: str) -> set[str]:
        plain = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        return {" ".join(name.split()) for name in re.findall(r"`([^`]+)`", plain)}

    assert sorted(names(english) - names(korean)) == []


def test_korean_pages_use_korean_quotation_marks() -> None:
    assert re.findall("[«»]", (ROOT / "README.ko.md").read_text()) == []


def test_every_section_of_the_source_document_has_its_place_in_the_korean_readme() -> None:
    headings = re.findall(r"^### (\d)\. ", SOURCE_DOCUMENT.read_text(), re.MULTILINE)
    korean = (ROOT / "README.ko.md").read_text()
    rows = re.findall(r"^\| (?:PostgreSQL|Redis|환경 변수|모니터링|문제 해결) \d", korean, re.MULTILINE)
    assert len(rows) == len(headings)


def setting_names() -> set[str]:
    """Every setting by its written name, lists with and without brackets."""
    return {name.replace("[]", "") for name, _ in fields(Settings)}


GROUPS = "|".join(("postgres", "redis", "application", "processes", "docker"))
SETTING = re.compile(rf"(?<![\w./-])(?:circlepay:)?((?:{GROUPS})\.[a-z][A-Za-z]+)(?![\w/(-])")
FILE_ENDINGS = {"conf", "py", "io", "sock", "sql", "org", "cloud"}


def wrong_settings(text: str) -> list[str]:
    """Names that look like settings and are none."""
    found = {name for name in SETTING.findall(text) if name.rpartition(".")[2] not in FILE_ENDINGS}
    return sorted(found - setting_names())


@every_page
def test_settings_that_are_named_exist(page: Path) -> None:
    assert wrong_settings(" ".join(re.findall(r"`([^`\n]+)`", prose(page)))) == []


def test_settings_named_in_messages_exist() -> None:
    wrong = {named(path): found for path, texts in messages().items() if (found := wrong_settings("\n".join(texts)))}
    assert wrong == {}


# Containers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [README, ROOT / "README.ko.md"], ids=named)
def test_readme_names_what_is_on_the_engine(page: Path) -> None:
    own = [ownership.names(server, suffix="") for server in ("postgres", "redis")]
    images = [DockerSettings().postgres_image, DockerSettings().redis_image]
    promised = [name for each in own for name in (each.container, each.data_volume)] + images
    assert [name for name in promised if f"`{name}`" not in page.read_text()] == []


def test_concepts_name_everything_on_the_engine_and_our_mark() -> None:
    text = (ROOT / "docs" / "concepts.md").read_text()
    own = [name for server in ("postgres", "redis") for name in astuple(ownership.names(server, suffix=""))]
    promised = [*own, ownership.network_name(""), ownership.PREFIX, FILES_ROOT]
    assert [name for name in promised if f"`{name}`" not in text] == []


def test_committed_stack_of_containers_is_the_documented_one() -> None:
    config = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    assert config["circlepay:target"] == "docker"
    assert DockerSettings.model_validate(config["circlepay:docker"]) == DockerSettings()


def test_the_readmes_example_is_a_stack_that_comes_up() -> None:
    """Its programs can make what it declares."""
    text = next(text for text in re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL) if "binaries" in text)
    config = yaml.safe_load(text)["config"]
    settings = parse("local", {name.removeprefix("circlepay:"): value for name, value in config.items()})
    version = int(settings.processes.binaries.split("/")[4])
    assert settings.postgres.locale_provider != "builtin" or BUILTIN_LOCALES[settings.postgres.locale] <= version


def section(page: Path, heading: str) -> str:
    """A section's text without its code, up to the next heading of any level."""
    return prose(page).split(f"{heading}\n", 1)[1].partition("\n#")[0]


def test_concepts_say_which_settings_restart_a_server_in_its_container() -> None:
    rows = section(ROOT / "docs" / "concepts.md", "### What a change does").splitlines()
    row = next(row for row in rows if "restarts in the same container" in row)
    assert [name for name in RESTART_ONLY if f"`postgres.{to_camel(name)}`" not in row] == []


# Messages -------------------------------------------------------------------------------------------------------------


@cache
def messages() -> dict[Path, tuple[str, ...]]:
    """Every text in the code by file, with `…` where a value is put in; docstrings are not messages."""
    return {path: tuple(texts(path)) for folder in ("infra", "tools") for path in sorted((ROOT / folder).rglob("*.py"))}


def texts(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def said_in_code(quoted: str) -> bool:
    """Whether some text of the code, or of a shell script, has the quoted one in it; `…` stands for anything."""
    pattern = re.compile(".*?".join(re.escape(part) for part in quoted.split("…")), re.DOTALL)
    python = (text for found in messages().values() for text in found)
    return any(pattern.search(text) for text in (*python, *scripts()))


@cache
def scripts() -> tuple[str, ...]:
    """The shell scripts, whole."""
    paths = (*ROOT.glob("tools/*.sh"), ROOT / "infra" / "provider" / "pulumi-resource-circlepay")
    return tuple(path.read_text() for path in paths)


QUOTED = re.findall(r"^### `(.+)`$", TROUBLESHOOTING.read_text(), re.MULTILINE)


@pytest.mark.parametrize("quoted", QUOTED)
def test_messages_that_are_quoted_are_said(quoted: str) -> None:
    assert said_in_code(quoted)


def test_a_message_that_nobody_says_is_noticed() -> None:
    assert not said_in_code("the moon … is in the way")


def test_every_kind_of_error_has_its_place_in_troubleshooting() -> None:
    from infra.operations.stack import StackError

    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.CirclePayError)]
    names = {kind.__name__ for kind in (*kinds, StackError)} - {"CirclePayError"}
    assert names <= set(re.findall(r"^## (\w+)$", TROUBLESHOOTING.read_text(), re.MULTILINE))
