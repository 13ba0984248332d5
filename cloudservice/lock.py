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


def hold_folder(path: "Path | str", is_alone: bool = False) -> "int | None":
    """An open file that shares the lock of a folder, or has it alone; None where that cannot be.

    It is held, wherever the folder is moved to, until the number is closed or the process ends.
    """
    if os.name == "nt":
        return None
    import fcntl

    number = os.open(path, os.O_RDONLY)
    if _flocked(number, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH):
        return number
    os.close(number)
    return None


def holds_alone(number: int) -> bool:
    """Whether nobody else holds the folder of `hold_folder`; then nobody can, from now on."""
    import fcntl

    return _flocked(number, fcntl.LOCK_EX)


def is_held_folder(path: "Path | str") -> bool:
    """Whether somebody holds a folder."""
    if os.name == "nt" or not os.path.isdir(path):
        return False
    number = hold_folder(path, is_alone=True)
    if number is not None:
        os.close(number)
    return number is None


def _flocked(number: int, how: int) -> bool:
    import fcntl

    try:
        fcntl.flock(number, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _locked(file: "IO[str]") -> bool:
    """Lock the file until it is closed, unless someone else has."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            return _flocked(file.fileno(), fcntl.LOCK_EX)
    except OSError:
        return False
    return True
