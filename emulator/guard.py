"""A guard above the emulator: when the emulator is gone, however it went, no process of a role stays behind.

On Linux the guard is the subreaper of its descendants (prctl(2)): whatever the emulator leaves becomes the guard's
child, also a grandchild that left its process group. Elsewhere there is no guard, and a kill of the emulator itself
leaves processes behind: docs/limits.md.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from emulator import children

_PR_SET_PDEATHSIG = 1


def guarded(main: Callable[[], int]) -> int:
    """Run `main` in a child process under a guard and return its exit code; must be called before any thread starts."""
    if sys.platform != "linux":
        return main()
    children.adopt()
    guard = os.getpid()
    emulator = os.fork()
    if not emulator:
        # If someone kills the guard, the emulator stops its roles as on Ctrl-C.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != guard:
            os._exit(1)
        return main()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: _send(emulator, received))
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # the keys of a console reach the emulator itself
    code = _wait_for(emulator)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _kill_descendants()
    os._exit(code)  # what the caller has on its stack belongs to the child


def _wait_for(emulator: int) -> int:
    """The emulator's exit code as a shell has it; orphans that end meanwhile are reaped."""
    while True:
        pid, status = os.wait()
        if pid == emulator:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _kill_descendants() -> None:
    """Kill until no child is left; the children of a killed process become the guard's own."""
    while True:
        for pid in _children():
            _send(pid, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _children() -> list[int]:
    me = os.getpid()
    return [int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()]
