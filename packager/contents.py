"""Which files of a role go into a bundle, and under which Windows names."""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.names import is_reserved
from cloudservice.project import Listing

_LEFT_OUT = frozenset(
    (
        *(".git", ".hg", ".svn", ".idea", ".vs", ".vscode", ".rolepack"),
        *(".venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__", "node_modules"),
        *(".DS_Store", "Thumbs.db", "desktop.ini"),
    )
)
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]|[ .]$')


def files(folder: Path, listing: Listing | None = None) -> list[tuple[PurePosixPath, Path]]:
    """Every file that belongs to the role, as (path below `folder`, real path), sorted by path.

    With a project's `listing`, only what it holds. Left out are version control, caches and virtual environments. Names
    that Windows cannot hold, two names that differ only in case, links out of the folder and what is no ordinary file
    are faults, all told at once.
    """
    there = ((PurePosixPath(path.relative_to(folder).as_posix()), path) for path in walk(folder))
    found = sorted((name, path) for name, path in there if listing is None or listing.holds(str(name)))
    faults: list[Fault] = []
    seen: dict[str, PurePosixPath] = {}
    for name, path in found:
        twin = seen.setdefault(str(name).lower(), name)
        if twin != name:
            wrong = f"on Windows it is the same file as {shown(folder / twin)}"
            faults.append(Fault(shown(path), wrong, "Rename one of them"))
        faults += _faults(folder, name, path)
    if faults:
        raise ServiceError(*faults)
    return found


def _faults(folder: Path, name: PurePosixPath, path: Path) -> Iterator[Fault]:
    """What keeps one file out of a bundle."""
    where = shown(path).encode(errors="backslashreplace").decode()
    if where != shown(path):
        yield Fault(where, "its name is not UTF-8", "Rename it")
    elif any(is_reserved(part) or _FORBIDDEN.search(part) for part in name.parts):
        yield Fault(where, "Windows cannot have a file of that name", "Rename it")
    if not path.resolve().is_relative_to(folder.resolve()):
        yield Fault(where, "it is a link out of the role's folder", "Put the file itself there")
    elif not path.is_file():
        yield Fault(where, "it is no ordinary file, or a link that leads to none", "Remove it, or put a file there")


def walk(folder: Path) -> Iterator[Path]:
    """Every file and link below a folder, without version control, caches and virtual environments; in no order."""
    for parent, names in _visited(folder):
        for name in names:
            if not name.endswith((".pyc", ".pyo")):
                yield parent / name


def everything(folder: Path) -> Iterator[Path]:
    """What `walk` finds and the folders that it looks into: when none of them has changed, it would find the same."""
    for parent, names in _visited(folder):
        yield parent
        yield from (parent / name for name in names)


def _visited(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        here = Path(parent)
        folders[:] = [name for name in folders if name not in _LEFT_OUT and not _is_environment(here / name)]
        links = [name for name in folders if (here / name).is_symlink()]
        yield here, [name for name in (*names, *links) if name not in _LEFT_OUT]


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").is_file()
