"""Files that appear whole or not at all."""

import contextlib
import glob
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_UMASK = os.umask(0)
os.umask(_UMASK)
"""Read once: to read it is to change it, for every thread."""
_ABANDONED = 3600.0
"""Seconds after which a temporary file belongs to a process that was killed."""


@contextmanager
def whole(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; on success it takes the name, on any error it is gone.

    The rename is atomic on one file system, so a reader or a kill sees the old file or the new one; what is durable
    outlives a loss of power too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    with _named(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.chmod(name, _mode(path))
        with _named(path):
            os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes, durable: bool = True) -> None:
    """Write text (as UTF-8, line ends as given) or bytes to `path`, replacing what was there."""
    with whole(path, durable) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def link_whole(source: Path, path: Path) -> None:
    """Let `path` be another name of the file `source`, or a copy where the file system cannot; whole or not at all."""
    _remove_abandoned(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.hardlink_to(source)
        except OSError:
            shutil.copy(source, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder under a temporary name beside `path`; on success it takes the name, on any error it is gone.

    OSError if there is a folder with something in it by then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    with _named(path):
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        yield part
        part.chmod(0o777 & ~_UMASK)
        with _named(path):
            part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def shared_folder(path: Path) -> Iterator[Path]:
    """The same, where one that another process has made by then is as good."""
    try:
        with whole_folder(path) as part:
            yield part
    except OSError:
        if not path.is_dir():
            raise


def replace_folder(new: Path, path: Path) -> None:
    """Let the folder `new` take the place of the folder `path`, if there is one; that has the name of `new` then.

    Both are on one file system. Where the system can exchange two names, there is never a moment without the folder.
    """
    if not path.exists():
        new.rename(path)
    elif not _exchange(new, path):
        aside = new.with_name(f"{new.name}.aside")
        path.rename(aside)
        new.rename(path)
        aside.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step (renameat2(2)); False where the system or the file system cannot."""
    if sys.platform != "linux":
        return False
    import ctypes

    here, exchange = -100, 2
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    return bool(call(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder; nothing if it is not there."""
    return list(folder.iterdir()) if folder.is_dir() else []


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal; the file is never read whole."""
    import hashlib  # which loads OpenSSL, and most commands need none

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(path: Path) -> str:
    """The path as a user would type it: relative to the current folder where it lies below or beside it."""
    here, there = Path.cwd(), path.absolute()
    if there == here or not there.is_relative_to(here.parent) or here.parent.parent == here.parent:
        return str(there)
    return os.path.relpath(there, here)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error speak of the path that is meant, and not of a temporary name."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def _remove_abandoned(path: Path) -> None:
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _ABANDONED:
                shutil.rmtree(part) if part.is_dir() and not part.is_symlink() else part.unlink()


def _mode(path: Path) -> int:
    """The mode of the file that is replaced, else what the umask leaves of rw-rw-rw-."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        return 0o666 & ~_UMASK
