"""Images: from the tag in the settings to a fixed digest, and what an image declares."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from infra.errors import TargetError
from infra.targets.docker import archives, one_shot
from infra.targets.docker.limits import MEBIBYTE
from infra.targets.docker.ownership import ROLE
from infra.targets.spec import ServerSpec

if TYPE_CHECKING:
    from docker import APIClient

MISSING, ALWAYS, NEVER = "missing", "always", "never"


@dataclass(frozen=True)
class Pin:
    """reference: what is pulled and run, by digest, or by id where an image has none (loaded, or built here)."""

    reference: str
    digest: str


@dataclass(frozen=True)
class Image:
    """What an image declares. volumes: paths that are to be volumes. environment: its variables."""

    id: str
    volumes: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def data_folder(self, spec: ServerSpec) -> str:
        """Where the server keeps its data: the variable that names it, or the only volume. Raises TargetError."""
        named = self.environment.get(spec.packaging.data_variable, "")
        if named:
            return named
        if len(self.volumes) == 1:
            return self.volumes[0]
        raise TargetError(
            f"place {spec.name}",
            self.id,
            f"this image names no folder for data: it has {len(self.volumes)} volumes",
            f"use an image that follows the official one of {spec.name}",
        )

    def volume_path(self, spec: ServerSpec) -> str:
        """Where the data's volume is mounted: the image's own volume at or above the data folder (18 moved it there)."""
        data = PurePosixPath(self.data_folder(spec))
        above = [path for path in self.volumes if PurePosixPath(path) in (data, *data.parents)]
        return max(above, key=len, default=str(data))


@dataclass(frozen=True)
class ImageFacts:
    """What a server's container needs to know of its image. user: `uid:gid`. data: folder. mount: where its volume belongs."""

    user: str
    data: str
    mount: str


def facts(api: APIClient, image_id: str, spec: ServerSpec, labels: Mapping[str, str]) -> ImageFacts:
    """The image as the server's container needs it. Raises TargetError for one that does not suit the server."""
    image = described(api, image_id)
    if image is None:
        raise TargetError(
            f"place {spec.name}", image_id, "the engine does not have this image any more", "run `up` again"
        )
    return ImageFacts(_user(api, image_id, spec, labels), image.data_folder(spec), image.volume_path(spec))


def _user(api: APIClient, image_id: str, spec: ServerSpec, labels: Mapping[str, str]) -> str:
    """The user that the server runs as, from a container of the image that never runs."""
    wanted = spec.packaging.image_user
    made = api.create_container(image_id, command=["true"], labels={**labels, ROLE: one_shot.FILE_ACCESS})
    try:
        accounts = archives.read_text(api, made["Id"], "/etc/passwd") or ""
    finally:
        one_shot.remove(api, made["Id"])
    found = re.search(rf"^{re.escape(wanted)}:[^:]*:(\d+):(\d+):", accounts, re.MULTILINE)
    if found is None:
        raise TargetError(
            f"place {spec.name}",
            image_id,
            f"this image has no user {wanted}, and no server runs as root here",
            f"use an image that follows the official one of {spec.name}",
        )
    return f"{found[1]}:{found[2]}"


def described(api: APIClient, reference: str) -> Image | None:
    """The image as the engine has it, None when it has not."""
    found = _inspected(api, reference)
    if found is None:
        return None
    config = found.get("Config") or {}
    variables = dict(word.split("=", 1) for word in config.get("Env") or () if "=" in word)
    return Image(found["Id"], tuple(config.get("Volumes") or ()), variables)


def pin(
    api: APIClient, reference: str, *, platform: str, policy: str, login: Mapping[str, str] | None, spec_name: str
) -> Pin:
    """The digest a reference stands for now. policy: where to look, `missing`: the engine first, `always`: the registry,
    `never`: only the engine. login: username and password of the registry.

    Raises TargetError when there is no such image.
    """
    operation = f"find the image of {spec_name}"
    local = _inspected(api, reference)
    if local is not None and policy != ALWAYS:
        return _local_pin(reference, local, platform, operation)
    if policy == NEVER:
        raise TargetError(
            operation,
            reference,
            "the engine does not have this image, and circlepay:docker.pullPolicy is never",
            f"load it (docker load, docker pull {reference}), or set the policy to missing",
        )
    return _remote_pin(api, operation, reference, login)


def _local_pin(reference: str, found: Mapping[str, Any], platform: str, operation: str) -> Pin:
    actual = f"{found.get('Os')}/{found.get('Architecture')}"
    if platform and not platform.startswith(actual):
        raise TargetError(operation, reference, f"the engine has this image for {actual}, declared is {platform}")
    repository = repository_of(reference)
    for named in found.get("RepoDigests") or ():
        if named.partition("@")[0] == repository:
            return Pin(named, named.partition("@")[2])
    return Pin(found["Id"], found["Id"])


def _remote_pin(api: APIClient, operation: str, reference: str, login: Mapping[str, str] | None) -> Pin:
    from docker.errors import APIError

    try:
        found = api.inspect_distribution(  # type: ignore[no-untyped-call]
            reference, auth_config=dict(login) if login else None
        )
    except APIError as error:
        raise TargetError(
            operation,
            reference,
            f"its registry does not provide it: {error.explanation}",
            "check that name and tag are right, the registry can be reached, and circlepay:docker.registries has its "
            "login; or load the image in advance",
        ) from None
    digest = str(found["Descriptor"]["digest"])
    return Pin(f"{repository_of(reference)}@{digest}", digest)


def pull(
    api: APIClient,
    pinned: str,
    *,
    platform: str,
    login: Mapping[str, str] | None,
    spec_name: str,
    progress: Callable[[str], None],
    cancelled: threading.Event,
) -> None:
    """Brings a pinned image onto the engine, where it is missing, and tells how far that is. Raises TargetError."""
    from docker.errors import APIError

    if _inspected(api, pinned) is not None:
        return
    operation, layers = f"get the image of {spec_name}", Layers()
    hint = (
        "check the space where the engine keeps its data and the way to the registry, then run `up` again: it goes on"
    )
    options: dict[str, Any] = {"auth_config": dict(login) if login else None, "platform": platform or None}
    progress(f"pulling {pinned}")
    try:
        for event in api.pull(pinned, stream=True, decode=True, **options):
            if cancelled.is_set():
                raise TargetError(operation, pinned, f"cancelled, {layers.text}", "run `up` again: it goes on")
            if "error" in event:
                cause = f"it could not be pulled, {layers.text}: {event['error']}"
                raise TargetError(operation, pinned, cause, hint)
            if layers.take(event):
                progress(f"pulling {pinned}: {layers.text}")
    except APIError as error:
        raise TargetError(operation, pinned, f"it could not be pulled: {error.explanation}", hint) from None


@dataclass
class Layers:
    """How far a pull is. amounts: layer -> bytes that are there, and all of it. text: as it was told last."""

    amounts: dict[str, tuple[int, int]] = field(default_factory=dict)
    text: str = "nothing of it was there yet"

    def take(self, event: Mapping[str, Any]) -> bool:
        """Takes one of the engine's events; whether there is something new to tell, in whole MiB."""
        layer, detail = str(event.get("id", "")), event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            self.amounts[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif event.get("status") in ("Download complete", "Pull complete") and layer in self.amounts:
            self.amounts[layer] = (self.amounts[layer][1],) * 2
        there, whole = (
            (sum(each) // MEBIBYTE for each in zip(*self.amounts.values(), strict=True)) if self.amounts else (0, 0)
        )
        before, self.text = self.text, f"{there} of {whole} MiB" if self.amounts else self.text
        return self.text != before


def _inspected(api: APIClient, reference: str) -> dict[str, Any] | None:
    from docker.errors import NotFound

    try:
        found: dict[str, Any] = api.inspect_image(reference)  # type: ignore[no-untyped-call]
    except NotFound:
        return None
    return found


def repository_of(reference: str) -> str:
    """The name without tag and digest; a colon before the last slash belongs to a registry's port."""
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def registry_of(reference: str) -> str:
    """The registry's address, as logins name it: what stands before the first slash if it looks like a host."""
    first, slash, _ = reference.partition("/")
    return first if slash and (set(first) & set(".:") or first == "localhost") else "docker.io"
