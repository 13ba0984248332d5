"""`python -P -m emulator RUN`, where RUN is the file that emulator.run wrote."""

import os
import signal
import sys
from pathlib import Path

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError
from emulator.guard import guarded

_PATIENCE = 3.0
"""Seconds to wait for the lock: the guard of a killed emulator keeps it while it clears up."""
_FAILED = 1
_INTERRUPTED = 130


def _emulate(path: Path) -> int:
    # Only the emulator needs these: the guard that stays behind must be small.
    from emulator.beginning import begin
    from emulator.run import take

    told = take(path)
    if os.name == "posix":
        # What is started must not inherit that emulator.client has blocked it.
        signal.signal(signal.SIGINT, lambda *_: sys.exit(_INTERRUPTED))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        begun = begin(told)
    except ServiceError as error:
        return _refuse(error.faults, told.detached)
    from emulator.main import main

    return main(told, begun)


def _refuse_second(path: Path) -> int:
    from emulator.run import take

    told = take(path)
    wrong = "an emulator of this service runs already"
    return _refuse((Fault(str(told.folder), wrong, "Stop it with `invoke stop`"),), told.detached)


def _refuse(faults: tuple[Fault, ...], detached: bool) -> int:
    from emulator.console import refuse

    refuse(faults, detached)
    return _FAILED


def _main(path: Path) -> int:
    # Taken before the guard splits off, so that the lock is free only when the guard has cleared up too.
    held = lock.take(path.parent / "lock", _PATIENCE)
    if held is None:
        return _refuse_second(path)
    with held:
        return guarded(lambda: _emulate(path))


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
