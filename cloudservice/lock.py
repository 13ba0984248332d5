"""A lock between processes that the system takes back however its holder ends."""

import os
import time
from pathlib import Path
from typing import IO

from cloudservice.errors import Fault, ServiceError

_PATIENCE = 600.0
"""Seconds that another process may take for a piece of work."""


def take(path: Path, patience: float) -> IO[str] | None:
    """The open lock file, to be kept open; None if someone else still has it after `patience` seconds.

    A process forked while it is open holds the lock too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + patience
    while True:
        file = path.open("a")
        if _locked(file):
            return file
        file.close()
        if time.monotonic() > end:
            return None
        time.sleep(0.02)


def wait(path: Path, doing: str) -> IO[str]:
    """As `take`, for work that many processes may want to do; ServiceError if one has been `doing` it for too long."""
    held = take(path, _PATIENCE)
    if held is None:
        from cloudservice.files import shown  # which the emulator's guard must not load

        wrong = f"another process has been {doing} for too long"
        raise ServiceError(Fault(shown(path.parent), wrong, "End that process"))
    return held


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock."""
    if not path.exists():
        return True
    with path.open("a") as file:
        return _locked(file)


def _locked(file: IO[str]) -> bool:
    """Lock the file until it is closed, unless someone else has."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
