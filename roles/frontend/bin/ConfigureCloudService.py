"""Prepare an instance of this role: install its packages from the wheelhouse that came with it.

Runs as a startup task, on the host and in the emulator, each time the role starts; so every step may be repeated.
Customise it here: what you add to main() runs before the role does. Standard library only. An exit code other than
0 keeps the role from starting.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

APPROOT = Path(__file__).absolute().parent.parent
LOCK = APPROOT / "requirements.lock"
ENVIRONMENT = APPROOT / "env"


def log(text: str) -> None:
    """Write a line with its time to the log of this script."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


def run(*command: object) -> None:
    """Run a program; its failure fails this task."""
    log("running " + subprocess.list2cmdline(map(str, command)))
    subprocess.run(list(map(str, command)), check=True)


def install_packages() -> None:
    """Install the locked wheels offline, checking every hash, into an environment of the role's own."""
    python = ENVIRONMENT / "Scripts" / "python.exe" if os.name == "nt" else ENVIRONMENT / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", ENVIRONMENT)
    options = ["--no-index", "--find-links", APPROOT / "wheelhouse", "--only-binary", ":all:", "--require-hashes"]
    run(python, "-m", "pip", "install", "--disable-pip-version-check", *options, "-r", LOCK)


def main() -> int:
    log(f"configuring role {os.environ.get('RoleName')}, instance {os.environ.get('RoleInstanceId')}")
    if os.environ.get("EMULATED", "").lower() == "true":
        log("the emulator has installed the packages")
    elif LOCK.exists():
        install_packages()
    else:
        log(f"{LOCK.name} is not there: nothing to install")
    log("done")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, subprocess.CalledProcessError) as error:
        log(f"failed: {error}")
        sys.exit(1)
