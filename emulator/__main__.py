"""`python -P -m emulator RUN`, where RUN is the file that emulator.run wrote."""

from __future__ import annotations

import os
import signal
import sys

from cloudservice import lock
from emulator.guard import SIGNALS, guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cloudservice.errors import Fault

_PATIENCE = 3.0
"""Seconds to wait for the lock: the guard of a killed emulator keeps it while it clears up."""
_FAILED = 1


# What only the emulator needs is loaded by functions: the guard that stays behind must be small.


def _emulate(path: str) -> int:
    from cloudservice.errors import ServiceError
    from emulator.beginning import begin
    from emulator.run import take

    told = take(path)
    early: list[int] = []
    for number in SIGNALS:  # until the loop can act on it, a signal is only written down
        signal.signal(number, lambda received, _frame: early.append(received))
    if os.name == "posix":
        # What is started must not inherit that emulator.client has blocked it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        begun = begin(told)
    except ServiceError as error:
        return _refuse(error.faults, told.detached)
    # asyncio does without ssl where there is none, and so does the emulator: it costs 2 MB and a tenth of the start.
    sys.modules["ssl"] = None  # type: ignore[assignment]
    from emulator.main import main

    del sys.modules["ssl"]  # watchfiles wants it
    return main(told, begun, early)


def _refuse_second(path: str) -> int:
    from cloudservice.errors import Fault
    from emulator.run import take

    told = take(path)
    wrong = "an emulator of this service runs already"
    return _refuse((Fault(str(told.folder), wrong, "Stop it with `invoke stop`"),), told.detached)


def _refuse(faults: tuple[Fault, ...], detached: bool) -> int:
    from emulator.console import refuse

    refuse(faults, detached)
    return _FAILED


def _main(path: str) -> int:
    # Taken before the guard splits off, so that the lock is free only when the guard has cleared up too.
    held = lock.take(os.path.join(os.path.dirname(path), "lock"), _PATIENCE)
    if held is None:
        return _refuse_second(path)
    with held:
        return guarded(lambda: _emulate(path))


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
