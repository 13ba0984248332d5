"""What a bundle holds, ordered for people: roles, folders, wheels, what is shared, and what changed since another."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from cloudservice import definition
from packager import bundle, locks, manifest, opened
from packager.opened import Opened
from packager.wheelhouse import FOLDER

_APPROOT = "\\approot\\"
_WHEELS = f"{_APPROOT}{FOLDER}\\"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a role; its path begins with a backslash, its size is in bytes."""

    path: str
    size: int
    sha256: str
    is_shared: bool


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel of a role."""

    file: str
    requirement: str
    size: int
    is_shared: bool


@dataclass(frozen=True, slots=True)
class Role:
    """A role: kind `web` or `worker`, and the platform and Python that its wheels are for, if it has a lock."""

    name: str
    kind: str
    platform: str
    python: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(file.size for file in self.files)

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        """Its wheels, by name."""
        found = (file for file in self.files if file.path.startswith(_WHEELS))
        return tuple(sorted((_wheel(file) for file in found), key=lambda wheel: wheel.requirement))

    @property
    def folders(self) -> tuple[tuple[str, int, int], ...]:
        """What lies right below its approot and its root, but for the wheels: path, bytes, files."""
        sizes: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for file in self.files:
            if not file.path.startswith(_WHEELS):
                depth = 3 if file.path.startswith(_APPROOT) else 2
                parts = PureWindowsPath(file.path).parts
                place = "\\".join(parts[1:depth]) + ("\\" if len(parts) > depth else "")
                sizes[place] += file.size
                counts[place] += 1
        return tuple((place, sizes[place], counts[place]) for place in sorted(sizes))


@dataclass(frozen=True, slots=True)
class Inventory:
    """A bundle: its service, its roles, the bytes of its parts and of the file."""

    name: str
    roles: tuple[Role, ...]
    size: int
    file_size: int

    @property
    def shared(self) -> dict[str, int]:
        """The bytes of what more than one role has, by SHA-256."""
        return {file.sha256: file.size for role in self.roles for file in role.files if file.is_shared}

    @property
    def shared_size(self) -> int:
        """The bytes of it."""
        return sum(self.shared.values())


def load(path: Path) -> Inventory:
    """Read what is in a bundle; ServiceError if it is none."""
    with opened.opened(path) as found:
        having = Counter(part for files in found.manifest.roles.values() for part in set(files.values()))
        defined = definition.parse(Path(manifest.DEFINITION), found.definition())
        kinds = {role.name: role.kind for role in defined.roles}
        roles = tuple(_role(found, name, kinds.get(name, ""), having) for name in found.manifest.roles)
        size = sum(part.size for part in found.manifest.parts.values())
        return Inventory(defined.name, roles, size, path.stat().st_size)


def changes(before: Inventory, after: Inventory) -> dict[str, list[str]]:
    """What is other than before, in words, by role."""
    old, new = ({role.name: role for role in one.roles} for one in (before, after))
    found: dict[str, list[str]] = {}
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            found[name] = ["is new" if name in new else "is gone"]
        else:
            found[name] = [*_wheel_changes(old[name], new[name]), *_file_changes(old[name], new[name])]
    return found


def _wheel_changes(old: Role, new: Role) -> Iterator[str]:
    before, after = ({one.requirement.partition("==")[0]: one for one in role.wheels} for role in (old, new))
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"{after[name].requirement} is new"
        elif name not in after:
            yield f"{before[name].requirement} is gone"
        elif before[name].requirement != after[name].requirement:
            yield f"{before[name].requirement} -> {after[name].requirement.partition('==')[2]}"
        elif before[name].file != after[name].file:
            yield f"{before[name].file} -> {after[name].file}"


def _file_changes(old: Role, new: Role) -> Iterator[str]:
    before, after = (
        {one.path: one.sha256 for one in role.files if not one.path.startswith(_WHEELS)} for role in (old, new)
    )
    for path in sorted({*before, *after}):
        if path not in before:
            yield f"{path} is new"
        elif path not in after:
            yield f"{path} is gone"
        elif before[path] != after[path]:
            yield f"{path} has changed"


def _role(found: Opened, name: str, kind: str, having: "Counter[str]") -> Role:
    parts = found.manifest.parts
    files = tuple(
        File(path, parts[part].size, parts[part].sha256, having[part] > 1)
        for path, part in found.manifest.roles[name].items()
    )
    platform, python = locks.shipped_for(found.text(name, f"{_APPROOT}{bundle.LOCK}"))
    return Role(name, kind, platform, python, files)


def _wheel(file: File) -> Wheel:
    name = file.path.rpartition("\\")[2]
    try:
        package, version, *_ = parse_wheel_filename(name)
    except InvalidWheelFilename:
        return Wheel(name, name, file.size, file.is_shared)
    return Wheel(name, f"{package}=={version}", file.size, file.is_shared)
