"""The processes below the emulator: told at once when one ends, and what an ended instance left is found.

On Linux the emulator is the subreaper of its descendants (prctl(2)): a process whose parent has ended becomes the
emulator's own child. Elsewhere only the processes that were started here are known.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator

MARK = "ROLEPACK_INSTANCE"
"""The variable that holds a folder of this service and instance: no other process has its value."""

_PR_SET_CHILD_SUBREAPER = 36

_begun: dict[int, Callable[[int], None] | None] = {}
"""Who is to be told of the end of a process, by process id; None until someone wants to know."""
_ended: dict[int, int] = {}
"""The exit codes of those that ended before anyone wanted to know."""

_guard: list[int] = []
"""The pipe to the guard, where it cannot see for itself what is left."""


def adopt() -> None:
    """Become the parent of every descendant that loses its own."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def watch() -> None:
    """Begin to notice ends; everything happens in the running loop. On Windows each process is waited for instead."""
    if os.name == "posix":
        import asyncio  # which the guard must not load

        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, _reap)
        _reap()


def announce_to(pipe: int) -> None:
    """Write down every start and end of a process group for the guard, which has nothing else to go by."""
    _guard.append(pipe)


def begun(pid: int) -> None:
    """Note a process that was just started."""
    _begun[pid] = None
    for pipe in _guard:
        os.write(pipe, b"+%d\n" % pid)


def on_end(pid: int, tell: Callable[[int], None]) -> None:
    """Have `tell` called with the exit code, negative for a signal, when a process that was begun ends."""
    if pid in _ended:
        import asyncio  # which the guard must not load

        asyncio.get_running_loop().call_soon(tell, _ended.pop(pid))
    else:
        _begun[pid] = tell


def kill_orphans(mark: str) -> None:
    """Kill, with all their descendants, the processes of an instance that have lost their parent."""
    for pid in of(os.getpid()):
        if pid not in _begun and _has(pid, mark):
            for one in list(_below(pid)):  # all of them first: a killed process has no children any more
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(one, signal.SIGKILL)


def _reap() -> None:
    """Take the exit codes of all that have ended, orphans among them."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            if pid not in _begun:
                continue
            for pipe in _guard:
                os.write(pipe, b"-%d\n" % pid)
            tell, code = _begun.pop(pid), os.waitstatus_to_exitcode(status)
            if tell:
                tell(code)
            else:
                _ended[pid] = code


def _below(pid: int) -> Iterator[int]:
    """A process and its descendants; those that are born meanwhile are orphans soon, and found the next time."""
    yield pid
    for child in of(pid):
        yield from _below(child)


def of(pid: int) -> list[int]:
    """The children of a process, whichever of its threads has started them; only Linux tells."""
    if sys.platform != "linux":
        return []
    try:
        return [
            int(child)
            for thread in os.listdir(f"/proc/{pid}/task")
            for child in _read(f"/proc/{pid}/task/{thread}/children").split()
        ]
    except OSError:  # it has ended
        return []


def _has(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in _read(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return False


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
