"""Run this worker's program: LaunchWorker.py PROGRAM.py ARGUMENTS.

The program runs in the role's folder, unbuffered, and its exit code is passed on; whenever it ends, the role is started
again. LaunchWorker.ps1 runs this on a host, and the emulator runs it too. Standard library only.

To customise how the program starts, change main(): set variables in `environ`, or put words into `command`. What it
prints is in LaunchWorker.ps1.log.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

APPROOT = Path(__file__).absolute().parent.parent


def search_path(written: str) -> str:
    r"""A PYTHONPATH as a definition writes it, `lib;%RoleRoot%\approot\more`, for this system."""
    expanded = re.sub(r"%(\w+)%", lambda name: os.environ.get(name[1], ""), written)
    entries = (entry.strip().replace("\\", "/") for entry in expanded.split(";"))
    return os.pathsep.join(str(APPROOT / entry) for entry in entries if entry)


def main() -> int:
    """Run the program and return its exit code."""
    os.chdir(APPROOT)
    environ = {"PYTHONUTF8": "1", **os.environ}  # a log on Windows could hold less than one elsewhere
    if environ.get("PYTHONPATH"):
        environ["PYTHONPATH"] = search_path(environ["PYTHONPATH"])
    command = [sys.executable, "-u", *sys.argv[1:]]
    if os.name == "posix":
        os.execve(command[0], command, environ)
    return subprocess.call(command, env=environ)


if __name__ == "__main__":
    sys.exit(main())
