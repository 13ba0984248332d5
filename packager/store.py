"""The user's own store of package files: content-addressed, shared by all services, safe for several at once."""

import functools
import shutil
from pathlib import Path

import platformdirs

from cloudservice.files import sha256_of, whole


def location() -> Path:
    """The folder of the store, in the user's cache."""
    return platformdirs.user_cache_path("rolepack") / "store"


def path_of(sha256: str, filename: str) -> Path:
    """Where a file of that hash lies, if it is there."""
    return location() / sha256[:2] / sha256 / Path(filename).name


def has(sha256: str, filename: str) -> bool:
    """Whether the store has a file, and it is whole. One that was is not read a second time by the same command."""
    path = path_of(sha256, filename)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return _is_whole(path, sha256, there.st_mtime_ns, there.st_size)


@functools.cache
def _is_whole(path: Path, sha256: str, _changed: int, _size: int) -> bool:
    return sha256_of(path) == sha256


def keep(source: Path) -> Path:
    """Put a file that was built here into the store and return its place."""
    place = path_of(sha256_of(source), source.name)
    with source.open("rb") as file, whole(place) as kept:
        shutil.copyfileobj(file, kept)
    return place
