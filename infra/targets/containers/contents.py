"""What has to be there before a server's container starts: its files on a volume, and initialised data.

facts = read(...)           what the volumes hold
changes = plan(...)         pure
changes = prepare(...)      read, plan and do it
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from infra.changes import Change, Effect
from infra.errors import TargetError
from infra.targets import rendering
from infra.targets.containers import applied, archives, one_shot
from infra.targets.containers.applied import Keys
from infra.targets.containers.ownership import inspected, inspected_volume
from infra.targets.containers.site import FILE_FOLDERS, FILES_ROOT, Site, argv
from infra.targets.spec import ServerFile, ServerSpec

if TYPE_CHECKING:
    from docker import APIClient

INITIALIZE_PATIENCE = 300.0
"""Seconds."""
MARK = ".circlepay"
"""File in a data folder that was not initialised by its server."""


@dataclass(frozen=True)
class Facts:
    """What the volumes hold. files: path -> state as in archives. has_data: its server's version of the format is noted.

    data_mode: permission bits of the data folder, None without one. initializing: data is being made, or a killed run
    left it half made.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    has_data: bool = False
    data_mode: int | None = None
    initializing: bool = False


@dataclass(frozen=True)
class Work:
    """One server's contents at work."""

    api: APIClient
    spec: ServerSpec
    site: Site
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def declared(self) -> dict[str, str]:
        """Path below FILES_ROOT -> content, of every file that stays."""
        places = self.site.places
        return {
            file.path: rendering.text(file, self.spec, places, self.secrets)
            for file in self.spec.files
            if not file.once
        }

    @property
    def keys(self) -> Keys:
        """What the server should have read."""
        return applied.declared(self.spec, self.site, self.secrets)


def read(work: Work) -> Facts:
    """The facts, through the server's own container where there is one. Makes no volume where one is missing."""
    api, site = work.api, work.site
    if any(inspected_volume(api, name) is None for name in (site.data_volume, site.files_volume)):
        return Facts()
    initializing = inspected(api, _initializer(work)) is not None
    if inspected(api, site.container) is not None:
        return replace(_read_through(work, site.container), initializing=initializing)
    with one_shot.carrier(api, site) as container:
        return replace(_read_through(work, container), initializing=initializing)


def _read_through(work: Work, container: str) -> Facts:
    api, data, name = work.api, work.site.data, work.spec.data_format.file
    has_data = bool(name) and archives.mode_of(api, container, f"{data}/{name}") is not None
    return Facts(_files_through(work, container), has_data, archives.mode_of(api, container, data))


def _files_through(work: Work, container: str) -> dict[str, str]:
    """The files' states; that none is there is asked for, since packing even nothing takes an engine long."""
    paths = [f"{FILES_ROOT}/{file.path}" for file in work.spec.files if not file.once]
    if all(archives.mode_of(work.api, container, path) is None for path in paths):
        return {}
    return archives.states(archives.fetch_once(work.api, container, FILES_ROOT))


def plan(facts: Facts, work: Work) -> list[Change]:
    """The changes that would make files and data as declared. Pure."""
    spec = work.spec
    reasons = {
        path: reason
        for path, content in work.declared.items()
        if (reason := archives.difference(facts.files.get(path), archives.declared_file(content, work.site.owner)))
    }
    changes = [_file_change(file, reasons[file.path], spec) for file in spec.files if file.path in reasons]
    if _needs_data(facts, spec):
        changes.append(Change(f"data of {spec.name}", "create", "there is none yet"))
    elif facts.data_mode != archives.FOLDER_MODE:
        found = "there is none" if facts.data_mode is None else f"its mode is {facts.data_mode:04o}, declared 0700"
        changes.append(Change(f"folder data of {spec.name}", "set", found))
    return changes


def _needs_data(facts: Facts, spec: ServerSpec) -> bool:
    return bool(spec.initialize) and (not facts.has_data or facts.initializing)


def _file_change(file: ServerFile, reason: str, spec: ServerSpec) -> Change:
    effect = Effect.RESTART if file.restart else Effect.RELOAD if spec.reload_signal else Effect.LIVE
    return Change(f"file {file.path} of {spec.name}", "write", reason, effect=effect)


def prepare(work: Work, *, cancelled: threading.Event, progress: Callable[[str], None]) -> list[Change]:
    """Writes what differs and initialises data where there is none. Safe to kill and run again; what it changed.

    Raises TargetError when the data was made by another version than the image's, and when the engine refuses.
    """
    one_shot.sweep(work.api, work.site)
    archives.forget(work.site.container)
    with one_shot.carrier(work.api, work.site) as container:
        initializing = inspected(work.api, _initializer(work)) is not None
        facts = replace(_read_through(work, container), initializing=initializing)
        if facts.has_data and not facts.initializing:
            _check_format(work, container)
        elif _needs_data(facts, work.spec) and not facts.initializing:
            _refuse_files(work, container)
        changes = plan(facts, work)
        if any(change.action == "write" for change in changes):
            progress(f"writing the files of {work.spec.name}")
            _put(work, container, {**work.declared, **_note(work, container)})
        if facts.data_mode != archives.FOLDER_MODE:
            _own_data(work, container)
    if _needs_data(facts, work.spec):
        progress(f"initialising the data of {work.spec.name}")
        _initialize(work, cancelled)
    return changes


def _note(work: Work, container: str) -> dict[str, str]:
    """What is noted with the files: they are what the server will have read.

    One that runs has not, and nobody knows what it has once the engine starts it again after a crash: what differs is noted
    as unknown until it was restarted, or told to read them.
    """
    server = inspected(work.api, work.site.container)
    if server is None or not server["State"]["Running"]:
        return work.keys.note
    return applied.noted(archives.fetch_once(work.api, container, FILES_ROOT)).agreeing(work.keys).note


def put_back(work: Work) -> None:
    """Writes every file as declared, whatever is there, and notes that: for a server that is stopped."""
    write(work, {**work.declared, **work.keys.note})


def write(work: Work, files: Mapping[str, str]) -> None:
    """Files by their path below FILES_ROOT, through a container that never runs: the server's own may not write them."""
    archives.forget(work.site.container)
    with one_shot.carrier(work.api, work.site) as container:
        _put(work, container, files)


def _put(work: Work, container: str, files: Mapping[str, str]) -> None:
    work.api.put_archive(container, FILES_ROOT, archives.packed(files, FILE_FOLDERS, work.site.owner))


def _own_data(work: Work, container: str) -> None:
    """Gives the data's folder, and what the volume holds above it, to the server's user and to nobody else.

    Where nothing is initialised a file keeps the volume from being empty: the engine gives an empty one the mode of the
    image's folder each time it makes a container, and pulumi-docker cannot tell it not to.
    """
    data, mount = PurePosixPath(work.site.data), PurePosixPath(work.site.data_mount)
    below = [path for path in reversed([data, *data.parents]) if path.is_relative_to(mount)]
    folders = tuple(str(path.relative_to(mount.parent)) for path in below)
    files = {} if work.spec.initialize else {f"{folders[-1]}/{MARK}": ""}
    work.api.put_archive(container, str(mount.parent), archives.packed(files, folders, work.site.owner))


def abandon(work: Work) -> None:
    """Ends an initialisation that a killed run left, and empties what it began: without it nobody could tell that."""
    name = _initializer(work)
    leftover = inspected(work.api, name)
    if leftover is None:
        return
    whole = one_shot.succeeded(leftover["State"])
    one_shot.stop_at_once(work.api, name)
    if not whole and inspected_volume(work.api, work.site.data_volume) is not None:
        _wipe(work)
    one_shot.remove(work.api, name)


def _initializer(work: Work) -> str:
    return f"{work.site.container}-initialize"


def _initialize(work: Work, cancelled: threading.Event) -> None:
    """Makes empty data in a container with a name: while there is one of that name, the data is not complete."""
    name = _initializer(work)
    leftover = inspected(work.api, name)
    if leftover is not None:
        # One of this name was only ever made when there was nothing in the folder.
        if leftover["State"]["Status"] != "created" and _wait(work, name, cancelled) == 0:
            one_shot.remove(work.api, name)
            return
        _wipe(work)
        one_shot.remove(work.api, name)
    places = work.site.places
    once = {file.name: rendering.text(file, work.spec, places, work.secrets) for file in work.spec.files if file.once}
    command = argv(work.spec, work.spec.initialize, {**places, "secrets": one_shot.ONCE_FOLDER})
    container = one_shot.create(work.api, work.site, command, "initialize", name=name)
    one_shot.put_once(work.api, container, work.site, once)
    work.api.start(container)
    code = _wait(work, name, cancelled)
    if code:
        text = one_shot.tail(work.api, name, work.secrets)
        _wipe(work)
        one_shot.remove(work.api, name)
        raise TargetError(
            f"initialise {work.spec.name}",
            f"volume {work.site.data_volume}",
            f"it failed:\n{text}",
            "see what it says; a locale the image lacks, or no space left, are the usual causes",
        )
    one_shot.remove(work.api, name)


def _wait(work: Work, name: str, cancelled: threading.Event) -> int:
    def refuse(cause: str) -> TargetError:
        return TargetError(f"initialise {work.spec.name}", f"container {name}", cause, "run `up` again")

    return one_shot.ended(work.api, name, patience=INITIALIZE_PATIENCE, cancelled=cancelled, refuse=refuse)


def _wipe(work: Work) -> None:
    """Removes what an initialisation left that never came to its end; there was nothing before it."""
    one_shot.empty(work.api, work.site, f"initialise {work.spec.name}")


def _refuse_files(work: Work, container: str) -> None:
    """Raises TargetError when the data's folder holds anything: an initialisation that fails there is wiped away."""
    site, spec = work.site, work.spec
    if archives.is_empty(work.api, container, site.data):
        return
    raise TargetError(
        f"initialise {spec.name}",
        f"volume {site.data_volume}",
        f"there are files in it, but no {spec.data_format.file}: this is no data of {spec.name}",
        "nothing was touched; restore what is missing, or delete what nobody needs: `make down DATA=delete`",
    )


def _check_format(work: Work, container: str) -> None:
    """Raises TargetError when the data was made by another version than the image's."""
    spec, site = work.spec, work.site
    made_by = (archives.read_text(work.api, container, f"{site.data}/{spec.data_format.file}") or "").strip()
    _, text = one_shot.run(work.api, site, argv(spec, spec.data_format.version_command, site.places), "version")
    found = re.search(spec.data_format.version_pattern, text)
    if found is None:
        raise TargetError(f"ask {spec.name} for its version", site.image, f"no version in its answer: {text.strip()}")
    if found[1] != made_by:
        raise TargetError(
            f"start {spec.name}",
            f"volume {site.data_volume}",
            f"the data in it was made by version {made_by}, this image is version {found[1]}",
            f"set circlepay:docker.{spec.name}Image back to version {made_by}; to change the version, dump the data with "
            "the old image and load it with the new one: docs/troubleshooting.md",
        )
