"""Packages that are not files: projects in folders and in git repositories."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from packager import contents
from packager.pins import Pin
from packager.tools import ToolError, git, run

_LEFTOVERS = frozenset(("build", "dist"))
"""Folders that earlier builds left at the top of a project, and that must not get into the next."""


def digest(folder: Path) -> str:
    """The SHA-256 of a project: of the names and the contents of its files, and of the version that git tells."""
    total = hashlib.sha256()
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        with path.open("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\0".encode())
    if (folder / ".git").exists():  # some projects take their version from it
        total.update(git(folder, "describe", "--tags", "--always", "--long").encode())
    return total.hexdigest()


@contextmanager
def copied(folder: Path) -> Iterator[Path]:
    """A copy of a project for one build, which may write into it; its history is there for who reads versions of it."""
    with TemporaryDirectory() as name:
        place = Path(name) / folder.resolve().name
        for path in _files(folder):
            copy = place / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        if (folder / ".git").exists() and os.name == "posix":
            (place / ".git").symlink_to((folder / ".git").resolve())
        yield place


@contextmanager
def checked_out(pin: Pin, environ: Mapping[str, str]) -> Iterator[Path]:
    """The project of a git repository at the pin's commit; ToolError if git cannot have it."""
    own = {**environ, "GIT_TERMINAL_PROMPT": "0"}
    with TemporaryDirectory() as name:
        place = Path(name) / "repository"
        run(["git", "clone", "--quiet", "--no-checkout", pin.url, place], own)
        run(["git", "-C", place, "checkout", "--quiet", "--detach", pin.commit], own)
        run(["git", "-C", place, "submodule", "--quiet", "update", "--init", "--recursive"], own)
        project = (place / pin.subdirectory).resolve()
        if not project.is_relative_to(place.resolve()) or not project.is_dir():
            message = f"there is no folder {pin.subdirectory} in it"
            raise ToolError(message)
        yield project


def _files(folder: Path) -> list[Path]:
    found = contents.walk(folder)
    kept = (path for path in found if path.relative_to(folder).parts[0] not in _LEFTOVERS and path.is_file())
    return sorted(path for path in kept if not any(part.endswith(".egg-info") for part in path.parts))
