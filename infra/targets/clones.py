"""Which clone of the project this is: everything of its servers carries its id, and only it may change or delete them.

The id follows from the clone's path, so that it survives a lost state. A clone that was moved keeps its id by adopting it:
`.circlepay/clone.json` then binds the id to the new path, and a copy of that file, at another path, binds nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from infra import files
from infra.errors import TargetError
from infra.targets import data_root

RECORD = Path(".circlepay") / "clone.json"


@dataclass(frozen=True)
class Adoption:
    """id: of the clone. path: where it is now. formerly: where it was, oldest first; labels on engines name that one."""

    id: str
    path: str
    formerly: tuple[str, ...]


def recorded(folder: Path) -> Adoption | None:
    """The adoption in a clone's folder, of this or of the clone it was copied from; None without one."""
    return _read(folder / RECORD)


def _read(path: Path) -> Adoption | None:
    try:
        value = json.loads(files.read(path))
        return Adoption(str(value["id"]), str(value["path"]), tuple(map(str, value["formerly"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _own(project_root: Path) -> Adoption | None:
    found = recorded(project_root)
    return found if found is not None and found.path == str(project_root.resolve()) else None


def clone_id(project_root: Path) -> str:
    """Ten hexadecimal digits that tell this clone from others on the machine."""
    own = _own(project_root)
    if own is not None:
        return own.id
    path = str(project_root.resolve())
    found = _digest(path)
    # An id that moved away with its clone stays with it: a new clone at the old path gets another one.
    taken = _read(register(found))
    return found if taken is None or not is_clone(Path(taken.path)) else _digest(f"{path}\n{taken.path}")


def register(clone: str) -> Path:
    """Where it is noted that an id moved away from its path."""
    return data_root.located(data_root.default()) / data_root.ADOPTED / f"{clone}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def is_clone(folder: Path) -> bool:
    """Whether a clone with a state is in the folder."""
    return (folder / ".circlepay").is_dir() and (folder / "Pulumi.yaml").exists()


def first_path(project_root: Path) -> str:
    """Where the clone was when its things on engines were made: their labels cannot be changed."""
    own = _own(project_root)
    return own.formerly[0] if own and own.formerly else str(project_root)


def is_same(path: str, project_root: str) -> bool:
    """Whether a mark's path is this clone's, now or before it was moved."""
    own = _own(Path(project_root))
    return path == project_root or (own is not None and path in own.formerly)


def refuse_another(operation: str, clone: str, path: str, project_root: Path) -> None:
    """Raises TargetError for what another clone made. clone, path: its id and its path, as what it made has them."""
    if clone == clone_id(project_root) or path == str(project_root):
        return
    copied_from = recorded(project_root)
    original = Path(copied_from.path if copied_from is not None else path)
    if is_clone(original):
        raise TargetError(
            operation,
            str(project_root),
            f"this is a copy of the clone in {original}, whose servers and data these are; nothing was done",
            f"work in {original}; or remove {project_root / '.circlepay' / 'state'} here, the copied record of them: the next "
            "`make up` then makes servers of this copy's own",
        )
    raise TargetError(
        operation,
        str(project_root),
        f"the servers and data were made by a clone in {original}, which is gone; nothing was done",
        "if this is that clone, moved: `tools/environment.sh circlepay adopt` makes them its own",
    )


def adopt(clone: str, path: str, project_root: Path) -> None:
    """Binds the id to this path. Raises TargetError while the clone that has it is still there, and OSError."""
    operation = "adopt servers"
    before = recorded(project_root)
    original = Path(before.path if before is not None else path)
    if is_clone(original) and original != project_root.resolve():
        refuse_another(operation, clone, path, project_root)
    formerly = (*(before.formerly if before is not None else ()), str(original))
    adoption = Adoption(clone, str(project_root.resolve()), tuple(dict.fromkeys([*formerly, path])))
    text = (json.dumps(asdict(adoption), indent=2) + "\n").encode()
    folder = data_root.made(operation, data_root.default()) / data_root.ADOPTED
    data_root.make_folder(folder, data_root.FOLDER_MODE)
    files.replace(folder / f"{clone}.json", text)
    files.replace(project_root / RECORD, text)
