"""One emulator for a service: a lock that the system takes back however its holder ends."""

import os
from pathlib import Path
from typing import IO


def take(state: Path) -> IO[str] | None:
    """The open lock file, to be kept open; None if another process holds it."""
    state.mkdir(parents=True, exist_ok=True)
    file = (state / "lock").open("w")
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file
