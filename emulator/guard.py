"""A guard above the emulator: when the emulator is gone, however it went, no process of a role stays behind.

On Linux the guard is the subreaper of its descendants (prctl(2)): whatever the emulator leaves becomes the guard's
child, also a grandchild that left its process group. Elsewhere the emulator tells its guard, through a pipe, which
process groups it has started; what left its group is not found. On Windows a job object takes the place of the guard.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable

from emulator import children

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""What asks an emulator to end, as far as the system has it."""
_PR_SET_PDEATHSIG = 1


def guarded(main: Callable[[], int], finds_orphans: bool = sys.platform == "linux") -> int:
    """Run `main` in a child process under a guard and return its exit code; must be called before any thread starts."""
    if os.name == "nt":
        from cloudservice import job

        job.enclose()
        return main()
    if finds_orphans:
        children.adopt()
    guard = os.getpid()
    reading, writing = os.pipe()
    emulator = os.fork()
    if not emulator:
        os.close(reading)
        # A session of its own: no role can stop at a question that its console never shows, and the scheduler, which
        # shares a busy machine out by sessions, sees one for all instances.
        os.setsid()
        if finds_orphans:
            # If someone kills the guard, the emulator stops its roles as on Ctrl-C.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != guard:
                os._exit(1)
        else:
            children.announce_to(writing)
        return main()
    os.close(writing)
    for number in SIGNALS:
        signal.signal(number, lambda received, _frame: _send(os.kill, emulator, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # emulator.client has blocked it
    groups = _announced(reading)
    code = _wait_for(emulator)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    for group in groups:
        _send(os.killpg, group, signal.SIGKILL)
    if finds_orphans:
        _kill_descendants()
    os._exit(code)  # what the caller has on its stack belongs to the child


def _announced(reading: int) -> set[int]:
    """The process groups that are there when the emulator ends, and its end of the pipe with it."""
    groups: set[int] = set()
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            if line.startswith(b"+"):
                groups.add(int(line[1:]))
            else:
                groups.discard(int(line[1:]))
    return groups


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
        for pid in children.of(os.getpid()):
            _send(os.kill, pid, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def _send(how: Callable[[int, int], None], target: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        how(target, number)
