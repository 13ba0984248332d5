"""The build of an App Service app for Windows, as a deployment from a repository does it.

Source: the documentation of Python sites with web.config (2015). The runtime that runtime.txt names, the web.config for
it, a virtual environment `env` that is made once for each runtime, and `pip install` at every build.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole
from cloudservice.tells import Report
from packager import here
from packager.tools import ToolError, run

ENVIRONMENT = "env"
REQUIREMENTS = "requirements.txt"
_RUNTIME = "runtime.txt"
_CONFIG = "web.config"
_WRITTEN = re.compile(r"(?:python-)?(\d+\.\d+)(?:\.\d+)?", re.IGNORECASE)
_MADE = ".rolepack-made"
"""In an environment that is whole: the version that it was made for."""
_ACTIVATE = '''"""Puts the packages of this environment first on the path of whoever executes this file."""

import os
import site
import sys

_base = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_packages = os.path.join(_base, {packages!r})
_before = list(sys.path)
site.addsitedir(_packages)
sys.path[:] = [one for one in sys.path if one not in _before] + _before
sys.prefix = _base
os.environ["VIRTUAL_ENV"] = _base
os.environ["PATH"] = os.path.dirname(os.path.abspath(__file__)) + os.pathsep + os.environ.get("PATH", "")
'''


@dataclass(frozen=True, slots=True)
class Runtime:
    """The Python of an app: what the app asks for, such as `3.4`, if it says so, and the interpreter that runs it."""

    asked: str | None
    python: Path
    version: str

    @property
    def minor(self) -> str:
        """The version up to the minor number."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True, slots=True)
class Built:
    """What a build has done: the runtime, the web.X.Y.config that was taken, and whether `env` was made."""

    runtime: Runtime
    config: Path | None
    is_made: bool
    packages: int


def runtime(folder: Path, python: str | None) -> Runtime:
    """The runtime of the app in a folder; `python`, a version or an interpreter, overrides what it asks for."""
    asked = _asked(folder)
    if python is not None:
        return _interpreter(asked, python)
    if asked is None:
        return _interpreter(None, here.MINOR)
    found = here.find(asked) if asked.startswith("3.") else None
    if found is None:
        wrong = f"Python {asked} is not installed here"
        remedy = f"Install it, or choose another with --python, as in --python {here.MINOR}"
        raise ServiceError(Fault(shown(folder / _RUNTIME), wrong, remedy, 1))
    return Runtime(asked, found, here.ask(found).version)


def build(folder: Path, chosen: Runtime, report: Report) -> Built:
    """Build the app in its folder."""
    config = _take_config(folder, chosen)
    if not (folder / REQUIREMENTS).is_file():
        return Built(chosen, config, is_made=False, packages=0)
    is_made = _make_environment(folder / ENVIRONMENT, chosen, report)
    interpreter = environment_python(folder)
    report(f"Installing {REQUIREMENTS}", 0, 0)
    pip: list[str | Path] = [interpreter, "-m", "pip", "--disable-pip-version-check"]
    try:
        run([*pip, "install", "-r", REQUIREMENTS], cwd=folder)
        listed = run([*pip, "list", "--format=freeze"], cwd=folder)
    except ToolError as error:
        remedy = "Correct it; what was installed before is still there"
        wrong = f"pip could not install it:\n{error}"
        raise ServiceError(Fault(shown(folder / REQUIREMENTS), wrong, remedy)) from None
    return Built(chosen, config, is_made, len(listed.splitlines()))


def environment_python(folder: Path) -> Path:
    """The interpreter of the app's environment, which may not be there."""
    for name in ("Scripts/python.exe", "bin/python"):
        if (folder / ENVIRONMENT / name).exists():
            return folder / ENVIRONMENT / name
    return folder / ENVIRONMENT / "bin" / "python"


def config_for(folder: Path, chosen: Runtime) -> Path | None:
    """The web.X.Y.config of the runtime, if the app has one."""
    wanted = f"web.{chosen.asked or chosen.minor}.config"
    return next((path for path in sorted(folder.iterdir()) if path.name.lower() == wanted), None)


def _asked(folder: Path) -> str | None:
    path = folder / _RUNTIME
    if not path.is_file():
        return None
    written = path.read_text("utf-8-sig", "replace").strip()
    match = _WRITTEN.fullmatch(written)
    if match is None:
        wrong = f"'{written}' names no Python"
        raise ServiceError(Fault(shown(path), wrong, f"Write it as python-{here.MINOR}", 1))
    return match[1]


def _interpreter(asked: str | None, python: str) -> Runtime:
    match = _WRITTEN.fullmatch(python)
    found = here.find(match[1]) if match else shutil.which(python)
    if found is None:
        wrong = f"there is no Python '{python}' here"
        raise ServiceError(Fault("--python", wrong, "Name a version that is installed, or the path of an interpreter"))
    return Runtime(asked, Path(found), here.ask(Path(found)).version)


def _take_config(folder: Path, chosen: Runtime) -> Path | None:
    """Put the web.config of the runtime in the place of web.config; what was there and is none of them is kept."""
    config = config_for(folder, chosen)
    if config is None:
        return None
    content = config.read_bytes()
    there = next((path for path in folder.iterdir() if path.name.lower() == _CONFIG), folder / _CONFIG)
    before = there.read_bytes() if there.is_file() else content
    if before != content:
        others = [path.read_bytes() for path in folder.glob("[Ww]eb.*.config")]
        if before not in others:
            write_whole(there.with_name(f"{there.name}.bak"), before)
    write_whole(there, content)
    return config


def _make_environment(place: Path, chosen: Runtime, report: Report) -> bool:
    """Make the environment, unless there is one of that runtime; whether it was made."""
    if place.exists() and not (place / "pyvenv.cfg").is_file():
        wrong = "it is no virtual environment, and the build makes one of that name"
        raise ServiceError(Fault(shown(place), wrong, "Rename it"))
    if _version_of(place) == chosen.minor:
        return False
    report(f"Making {ENVIRONMENT} with Python {chosen.minor}", 0, 0)
    shutil.rmtree(place, ignore_errors=True)
    try:
        run([chosen.python, "-m", "venv", place])
    except ToolError as error:
        wrong = f"{chosen.python} could not make it: {error}"
        raise ServiceError(Fault(shown(place), wrong, "Install that Python's venv module")) from None
    scripts = environment_python(place.parent).parent
    packages = next(iter(place.glob("lib/python*/site-packages")), place / "Lib" / "site-packages")
    text = _ACTIVATE.format(packages=str(packages.relative_to(place)))
    (scripts / "activate_this.py").write_text(text, encoding="utf-8")
    write_whole(place / _MADE, f"{chosen.minor}\n")
    return True


def _version_of(place: Path) -> str | None:
    """The version of an environment that is whole."""
    made = place / _MADE
    return made.read_text(encoding="utf-8").strip() if made.is_file() else None
