"""Paths as Windows finds them: in any case."""

import os
from pathlib import Path

_LONGEST, _LONGEST_NAME = 4096, 255
"""Bytes; a longer path, or one with a longer name in it, is nowhere on any system."""
_NOWHERE = "…"


def find(base: Path, path: str) -> Path:
    """The place below or beside `base` that a path with `/` means, in whatever case its parts are written on disk.

    What is not there stays as it is written; of two spellings of one name, one is always the first.
    """
    parts = path.split("/")
    if ".." not in parts:
        exact = base / path
        if _exists(exact):
            return exact
    if len(path.encode()) > _LONGEST or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        return base / _NOWHERE
    found, is_there = base, True
    for part in parts:
        if part == "..":
            found = found.parent if found.name not in {"", ".."} else found / part
        elif part not in {"", "."}:
            spelled = _spelled(found, part) if is_there else None
            is_there = spelled is not None
            found = spelled or found / part
    return found


def names(folder: Path | str) -> dict[str, str]:
    """The names in a folder as they are written, by themselves and in lower case; none if it cannot be listed."""
    try:
        there = sorted(os.listdir(folder), reverse=True) if folder else []
    except OSError:  # no folder, or no permission
        there = []
    return {name.lower(): name for name in there} | {name: name for name in there}


def _spelled(folder: Path, name: str) -> Path | None:
    exact = folder / name
    if _exists(exact):
        return exact
    written = names(folder).get(name.lower())
    return folder / written if written else None


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for a name that the system could not have
