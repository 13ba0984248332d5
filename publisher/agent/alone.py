"""One process for each conversation: the one of a connection that broke must not go on beside the next."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError

_PATIENCE = 10.0


@contextmanager
def alone(folder: Path, conversation: str) -> Iterator[None]:
    """End the process that had the conversation before, and have it as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(f"{conversation}-*.lock"):
        _end(path)
    own = folder / f"{conversation}-{os.getpid()}.lock"
    file = lock.take(own, 0.0)
    try:
        yield
    finally:
        if file is not None:
            file.close()
        own.unlink(missing_ok=True)


def _end(path: Path) -> None:
    """End the process that holds a file, whose name has its number; the file goes."""
    pid = int(path.stem.rpartition("-")[2])
    end = time.monotonic() + _PATIENCE
    while not lock.is_free(path):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)  # which on Windows ends it at once
        if time.monotonic() > end:
            wrong = f"process {pid}, of a connection that broke, does not end"
            raise ServiceError(Fault("session", wrong, "End it on the host, then run the command again"))
        time.sleep(0.05)
    path.unlink(missing_ok=True)
