"""Which files of a role go into a bundle, and under which Windows names."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.names import is_file_name
from cloudservice.project import Listing

IGNORED = ".rolepackignore"
"""What a user leaves out, in the syntax of .gitignore: beside the definition for all roles, or in a role's folder."""
_HISTORY = frozenset((".git", ".hg", ".svn", ".rolepack", IGNORED))
_LEFT_OUT = _HISTORY | frozenset(
    (
        *(".idea", ".vs", ".vscode", ".DS_Store", "Thumbs.db", "desktop.ini", "node_modules", "__pycache__"),
        *(".venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".coverage"),
    )
)
_COMPILED = (".pyc", ".pyo")


@dataclass(frozen=True, slots=True)
class Rules:
    """What is left out below a folder: by name, and as `.rolepackignore` files say, each for the folder it lies in.

    A role in another language than Python is packaged as it is, with its node_modules.
    """

    lists: tuple[tuple[Path, GitIgnoreSpec], ...] = ()
    is_python: bool = True

    def leave_out(self, path: Path, is_folder: bool) -> bool:
        """Whether a file, or a folder with all in it, does not belong to the role; the last list that knows counts."""
        for folder, patterns in reversed(self.lists):
            if path.is_relative_to(folder):
                below = path.relative_to(folder).as_posix()
                verdict = patterns.check_file(f"{below}/" if is_folder else below).include
                if verdict is not None:
                    return verdict
        if not self.is_python:
            return path.name in _HISTORY
        if is_folder and (path / "pyvenv.cfg").is_file():
            return True
        return path.name in _LEFT_OUT or path.name.endswith(_COMPILED)


DEFAULT = Rules()


def rules(root: Path, folder: Path, language: str) -> Rules:
    """The rules for a folder of a service; ServiceError if a list of them cannot be read."""
    places = dict.fromkeys((root.absolute(), folder.absolute()))
    lists = tuple((place, _patterns(place / IGNORED)) for place in places if (place / IGNORED).is_file())
    return Rules(lists, language in {"Python", ""})


def files(folder: Path, rules: Rules, listing: Listing | None = None) -> list[tuple[PurePosixPath, Path]]:
    """Every file that belongs to the role, as (path below `folder`, real path), sorted by path.

    With a project's `listing`, only what it holds. Names that Windows cannot hold, two names that differ only in case,
    links out of the folder and what is no ordinary file are faults, all told at once.
    """
    there = ((PurePosixPath(path.relative_to(folder).as_posix()), path) for path in walk(folder, rules))
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
    elif not all(map(is_file_name, name.parts)):
        yield Fault(where, "Windows cannot have a file of that name", "Rename it")
    if not path.resolve().is_relative_to(folder.resolve()):
        yield Fault(where, "it is a link out of the role's folder", "Put the file itself there")
    elif not path.is_file():
        yield Fault(where, "it is no ordinary file, or a link that leads to none", "Remove it, or put a file there")


def walk(folder: Path, rules: Rules = DEFAULT) -> Iterator[Path]:
    """Every file and link below a folder that is not left out, in no order."""
    for _, names in _visited(folder, rules):
        yield from names


def everything(folder: Path, rules: Rules) -> Iterator[Path]:
    """What `walk` finds and the folders that it looks into: when none of them has changed, it would find the same."""
    for parent, names in _visited(folder, rules):
        yield parent
        yield from names


def _visited(folder: Path, rules: Rules) -> Iterator[tuple[Path, list[Path]]]:
    for parent, folders, names in os.walk(folder.absolute(), followlinks=False):
        here = Path(parent)
        folders[:] = [name for name in folders if not rules.leave_out(here / name, is_folder=True)]
        links = [name for name in folders if (here / name).is_symlink()]
        own = folder / here.relative_to(folder.absolute())
        yield own, [own / name for name in (*names, *links) if not rules.leave_out(here / name, is_folder=False)]


def _patterns(path: Path) -> GitIgnoreSpec:
    try:
        return GitIgnoreSpec.from_lines(path.read_text("utf-8-sig").splitlines())
    except ValueError as error:  # also what is no UTF-8
        raise ServiceError(
            Fault(shown(path), f"it is no list of patterns: {error}", "Write it as a .gitignore")
        ) from None
