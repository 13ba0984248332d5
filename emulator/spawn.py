"""Starting processes, before there is an event loop or in it."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence

from cloudservice.group import Group
from emulator import children
from emulator.shell import Command

if sys.platform == "linux":
    import fcntl

PIPE = 1 << 18
"""Bytes that a process may be ahead of the emulator, where the system allows it."""


class Popen(subprocess.Popen[bytes]):
    """A process that was started, with its group."""

    group: Group


def spawn(command: Command) -> Popen:
    """Start a command as leader of its own process group, so that Ctrl-C of the console does not reach it.

    Its output and errors are one pipe. OSError if its program or folder cannot be used.
    """
    started = Popen(
        command.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=command.cwd,
        env=command.environ,
        process_group=0 if os.name == "posix" else None,
        creationflags=0 if os.name == "posix" else subprocess.CREATE_NEW_PROCESS_GROUP,  # type: ignore[attr-defined, unused-ignore]
        pass_fds=command.sockets,
    )
    started.group = Group(started.pid)
    children.begun(started.pid)
    if sys.platform == "linux" and started.stdout:
        with contextlib.suppress(PermissionError):  # the user's pipes have more than their share
            fcntl.fcntl(started.stdout, fcntl.F_SETPIPE_SZ, PIPE)
    return started


def piped(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program of ours, in our own process group, whose output is wanted."""
    started = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    children.begun(started.pid)
    return started
