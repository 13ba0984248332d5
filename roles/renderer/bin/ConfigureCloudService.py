"""Prepare an instance of this role before it starts.

It installs the role's packages from the wheelhouse that came with it.
ConfigureCloudService.ps1 runs it on a host as a startup task, each time the role starts, and the emulator runs it too;
so every step may be repeated, and changes nothing the second time. Standard library only.

To customise it, add your steps to main(): `run` runs a program and fails the task if that fails, `log` writes a line to
ConfigureCloudService.ps1.log. Any exit code but 0 keeps the role from starting. Packages belong into requirements.txt.
"""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path

APPROOT = Path(__file__).absolute().parent.parent
LOCK = APPROOT / "requirements.lock"
OWN = APPROOT / ".rolepack"
"""What is made on this machine; no file of the role is there."""
ENVIRONMENT = OWN / "env"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
"""The interpreter that has the role's packages."""
HAS_PIP = sys.version_info >= (3, 11) and importlib.util.find_spec("pip") is not None
"""Whether the Python that runs this has a pip that can install for another, which saves the environment its own."""
EMULATED = os.environ.get("EMULATED", "").lower() == "true"
PREPARED = EMULATED and "appcmd" not in os.environ
"""Rolepack's emulator installs packages and serves sites itself; that of the SDK does not, and names its appcmd."""


class StepError(Exception):
    """A step that cannot be done, and what to do about it."""


def main() -> None:
    """Every step, in order."""
    log(f"configuring {os.environ.get('RoleInstanceID', 'this role')} with Python {sys.version.split()[0]}")
    python = install_packages()
    if not PREPARED:
        write_whole(OWN / "python.txt", str(python).encode())  # LaunchWorker reads it
    log("done")


def log(text: str) -> None:
    """Write a line with its time to the log of this script."""
    print(time.strftime("%Y-%m-%d %H:%M:%S"), text, flush=True)


def run(*command: object, well: tuple[int, ...] = (0,)) -> int:
    """Run a program, which ends with one of the exit codes that are `well`, or else fails this task."""
    words = list(map(str, command))
    log(f"running {subprocess.list2cmdline(words)}")
    # What the machine has set for pip is not meant for this role.
    code = subprocess.run(words, env={**os.environ, "PIP_CONFIG_FILE": os.devnull}, check=False).returncode
    if code not in well:
        message = f"{Path(words[0]).name} ended with exit code {code}; what it says about it stands above"
        raise StepError(message)
    return code


def pip(*words: object) -> None:
    """Run a command of pip for the role's environment."""
    program = [sys.executable, "-m", "pip", "--python", PYTHON] if HAS_PIP else [PYTHON, "-m", "pip"]
    run(*program, "--isolated", "--disable-pip-version-check", *words)


def install_packages() -> Path:
    """Install what the lock names from the wheelhouse, without a network; returns the interpreter that has it."""
    if PREPARED:
        log("the emulator has installed the packages")
        return Path(sys.executable)
    if not LOCK.exists():
        log(f"there is no {LOCK}, so nothing to install")
        return Path(sys.executable)
    lock = LOCK.read_bytes()
    check_version(lock.decode(errors="replace"))
    installed = ENVIRONMENT / "installed.txt"
    key = hashlib.sha256(lock + sys.version.encode() + sys.base_prefix.encode()).hexdigest()
    if PYTHON.exists() and installed.exists() and installed.read_text() == key:
        log("the packages are installed already")
        return PYTHON
    run(sys.executable, "-m", "venv", "--clear", *(["--without-pip"] if HAS_PIP else []), ENVIRONMENT)
    offline = ["--no-index", "--find-links", APPROOT / "wheelhouse", "--only-binary", ":all:", "--require-hashes"]
    pip("install", *offline, "-r", LOCK)
    installed.write_text(key)
    return PYTHON


def check_version(lock: str) -> None:
    """Fail if the wheels are for another Python than this one."""
    wanted = re.search(r"^# python (\d+\.\d+)", lock, re.MULTILINE)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if wanted and wanted[1] != here:
        message = (
            f"the role's wheels are for Python {wanted[1]}, and this is {here}: let PYTHON name a Python {wanted[1]}, "
            f"or package with --python {here}"
        )
        raise StepError(message)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is never there by half, unless it says the same already."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        main()
    except (StepError, OSError, subprocess.CalledProcessError) as error:
        log(f"failed: {error}")
        sys.exit(1)
