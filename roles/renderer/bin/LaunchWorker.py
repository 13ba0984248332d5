"""Run this worker's program: LaunchWorker.py PROGRAM.py ARGUMENTS, in the role's folder, without buffering.

Runs on the host and in the emulator. Customise it here: change os.environ to set variables for the program.
Standard library only. The program's exit code is passed on; whenever it ends, the role is started again.
"""

import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    os.chdir(Path(__file__).absolute().parent.parent)
    command = [sys.executable, "-u", *sys.argv[1:]]
    if os.name == "posix":
        os.execv(command[0], command)
    return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
