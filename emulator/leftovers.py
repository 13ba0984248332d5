"""Processes that left their instance's process group, found by the environment they inherited."""

import contextlib
import os
import signal
from pathlib import Path

MARK = "RoleRoot"
"""The variable that holds a folder of this service and instance: no other process has its value."""


def kill(role_root: str) -> None:
    """Kill whatever an instance has left. Only Linux shows a process's environment; elsewhere nothing is found."""
    marked = f"{MARK}={role_root}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            left = marked in (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or is not ours
            continue
        if left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(folder.name), signal.SIGKILL)
