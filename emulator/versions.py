"""Copies of the sources of a run, so that an upgrade that fails has something to go back to.

A run from sources reads them where the user edits them. By the time of an upgrade they hold the new version already.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from cloudservice.files import entries
from emulator.run import Run

MOST_BYTES = 100_000_000
"""What is larger is not copied."""
_LEFT_OUT = {".git", ".hg", ".svn", ".rolepack", "__pycache__"}


def keep(run: Run, is_over: threading.Event) -> Run | None:
    """The same run from a copy of its sources; None if they are too large, or cannot be read, or it is over before.

    What runs from a bundle needs no copy: nobody edits that.
    """

    def copy(source: str, target: str) -> None:
        if is_over.is_set():
            raise InterruptedError
        with contextlib.suppress(FileNotFoundError):  # a program has removed it meanwhile
            shutil.copy2(source, target)

    if run.place != run.configuration.parent:
        return run
    folders = {folder: f"{number}" for number, folder in enumerate(dict.fromkeys(_folders(run)))}
    if sum(_size(folder) for folder in folders) > MOST_BYTES:
        return None
    versions = run.state / "versions"
    number = 1 + max((int(path.name) for path in entries(versions) if path.name.isdigit()), default=0)
    part = versions / f"{number}.part"
    try:
        for folder, name in folders.items():
            shutil.copytree(folder, part / name, symlinks=True, ignore=_ignored, copy_function=copy)
    except (OSError, shutil.Error):
        shutil.rmtree(part, ignore_errors=True)
        return None
    place = versions / str(number)
    part.rename(place)
    copies = {folder: place / name for folder, name in folders.items()}
    return run._replace(
        sources={role: copies[folder] for role, folder in run.sources.items()},
        sites={role: {name: copies[folder] for name, folder in sites.items()} for role, sites in run.sites.items()},
    )


def forget(run: Run, used: Iterable[Run]) -> None:
    """Remove the copies that none of these runs uses."""
    kept = {folder.parent for one in used for folder in _folders(one)}
    for path in entries(run.state / "versions"):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _folders(run: Run) -> Iterable[Path]:
    yield from run.sources.values()
    for sites in run.sites.values():
        yield from sites.values()


def _size(folder: Path) -> int:
    """The bytes of what would be copied; counting ends where that is too much."""
    total = 0
    for place, names, files in os.walk(folder):
        left_out = _ignored(place, names)
        names[:] = [name for name in names if name not in left_out]
        for name in files:
            with contextlib.suppress(FileNotFoundError):
                total += Path(place, name).lstat().st_size
        if total > MOST_BYTES:
            break
    return total


def _ignored(place: str, names: list[str]) -> set[str]:
    """What no program of a role needs: histories, caches, virtual environments."""
    return {name for name in names if name in _LEFT_OUT or Path(place, name, "pyvenv.cfg").exists()}
