"""`python -P -m emulator RUN`, where RUN is the file that emulator.run wrote."""

import sys
from pathlib import Path

from cloudservice import lock
from emulator.guard import guarded

_PATIENCE = 3.0
"""Seconds to wait for the lock: the guard of a killed emulator keeps it while it clears up."""


def _emulate(path: Path) -> int:
    from emulator.main import main  # only the emulator needs it: the guard that stays behind must be small

    return main(path)


def _main(path: Path) -> int:
    # Taken before the guard splits off, so that the lock is free only when the guard has cleared up too.
    held = lock.take(path.parent / "lock", _PATIENCE)
    if held is None:
        from emulator.main import refuse_second

        return refuse_second(path)
    with held:
        return guarded(lambda: _emulate(path))


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
