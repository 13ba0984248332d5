"""One emulator for a service: a lock that the system takes back however its holders end."""

import os
import time
from pathlib import Path
from typing import IO

_PATIENCE = 3.0
"""Seconds to wait for a lock: the guard of a killed emulator keeps it while it clears up."""


def take(state: Path) -> IO[str] | None:
    """The open lock file, to be kept open; None if a running emulator has it.

    A process forked while it is open holds the lock too.
    """
    state.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + _PATIENCE
    while True:
        file = (state / "lock").open("a")
        if _locked(file):
            return file
        file.close()
        if time.monotonic() > end:
            return None
        time.sleep(0.02)


def is_free(state: Path) -> bool:
    """Whether nobody holds the lock."""
    with (state / "lock").open("a") as file:
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
