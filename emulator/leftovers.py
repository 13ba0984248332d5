"""Processes that left their instance's process group, found by the environment they inherited."""

import contextlib
import os
import signal
from pathlib import Path

MARK = "ROLEPACK_INSTANCE"
"""The variable that holds a folder of this service and instance: no other process has its value."""


def kill(mark: str) -> None:
    """Kill whatever an instance has left. Only Linux shows a process's environment; elsewhere nothing is found."""
    marked = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            left = marked in (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or is not ours
            continue
        if left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(folder.name), signal.SIGKILL)
