"""A lock between processes that the system takes back however its holder ends."""

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the guard of an emulator needs this module, and should stay small
    from pathlib import Path
    from typing import IO

_PATIENCE = 600.0
"""Seconds that another process may take for a piece of work."""


def take(path: "Path | str", patience: float) -> "IO[str] | None":
    """The open lock file, to be kept open; None if someone else still has it after `patience` seconds.

    A process forked while it is open holds the lock too.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    end = time.monotonic() + patience
    while True:
        file = open(path, "a")  # noqa: SIM115 - to be kept open
        if _locked(file):
            return file
        file.close()
        if time.monotonic() > end:
            return None
        time.sleep(0.02)


def wait(path: "Path", doing: str) -> "IO[str]":
    """As `take`, for work that many processes may want to do; ServiceError if one has been `doing` it for too long."""
    held = take(path, _PATIENCE)
    if held is None:
        from cloudservice.errors import Fault, ServiceError
        from cloudservice.files import shown

        wrong = f"another process has been {doing} for too long"
        raise ServiceError(Fault(shown(path.parent), wrong, "End that process"))
    return held


def is_free(path: "Path") -> bool:
    """Whether nobody holds the lock."""
    if not path.exists():
        return True
    with path.open("a") as file:
        return _locked(file)


def hold_folder(path: "Path | str") -> "int | None":
    """An open file that shares the lock of a folder, wherever that is moved to; None where that is not possible.

    It is held until the number is closed, and the process ends.
    """
    if os.name == "nt":
        return None
    import fcntl

    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(number)
        return None
    return number


def is_held_folder(path: "Path | str") -> bool:
    """Whether somebody shares the lock of a folder."""
    if os.name == "nt" or not os.path.isdir(path):
        return False
    import fcntl

    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(number)
    return False


def _locked(file: "IO[str]") -> bool:
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
