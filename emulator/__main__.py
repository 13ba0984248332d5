"""`python -P -m emulator RUN`, where RUN is the file that emulator.run wrote."""

import sys
from pathlib import Path

from emulator.guard import guarded


def _emulate() -> int:
    from emulator.main import main  # only the emulator needs it: the guard that stays behind must be small

    return main(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(guarded(_emulate))
