"""Paths as Windows finds them: in any case."""

from pathlib import Path


def find(base: Path, path: str) -> Path:
    """The place below or beside `base` that a path with `/` means, in whatever case its parts are written on disk.

    Where nothing of a name is there, it stays as it is written; two spellings of one name are taken in stable order.
    """
    found = base
    for part in path.split("/"):
        if part == "..":
            found = found.parent if found.name not in {"", ".."} else found / part
        elif part not in {"", "."}:
            found = _spelled(found, part)
    return found


def _spelled(folder: Path, name: str) -> Path:
    exact = folder / name
    if exact.exists() or not folder.is_dir():
        return exact
    same = sorted(entry for entry in folder.iterdir() if entry.name.lower() == name.lower())
    return same[0] if same else exact
