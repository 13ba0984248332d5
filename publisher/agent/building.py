"""Builds a wheel of an sdist, with this host's compiler."""

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cloudservice.errors import Fault, ServiceError
from cloudservice.names import is_file_name
from publisher.agent import system
from publisher.agent.frames import CHUNK
from publisher.agent.place import Place

_LONGEST = 3600.0
_LAST = 15
"""Lines of what a build has printed that are told when it fails."""


def build(place: Place, asked: Mapping[str, Any], say: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Build the wheel of an sdist among the parts, for a Python; say its content, and tell its name and hash."""
    name = str(asked["name"])
    if not is_file_name(name):
        raise ServiceError(Fault("building", f"'{name}' is no name of a file", "Correct it"))
    place.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        source, output = Path(folder) / name, Path(folder) / "wheels"
        shutil.copy(place.part(asked["sha256"]), source)
        _run(
            [*_interpreter(str(asked["python"])), "-m", "pip", "wheel", "--no-deps", "-w", str(output), str(source)],
            name,
        )
        place.part(asked["sha256"]).unlink(missing_ok=True)
        wheel = next(output.glob("*.whl"), None)
        if wheel is None:
            raise ServiceError(Fault("building", f"the build of {name} gives no wheel", "Build it there by hand"))
        digest = hashlib.sha256()
        with wheel.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                say({"content": chunk.hex()})
        return {"name": wheel.name, "sha256": digest.hexdigest()}


def _interpreter(python: str) -> list[str]:
    """How a Python such as 3.12 is called here; ServiceError if there is none."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return [sys.executable]
    launcher = shutil.which("py")
    if launcher:
        words = [launcher, f"-{python}"]
        if system.attempt(*words, "-c", "")[0] == 0:
            return words
    wrong = f"there is no Python {python}"
    raise ServiceError(
        Fault("building", wrong, f"Install Python {python} with its launcher `py`, or name it as `python`")
    )


def _run(words: list[str], name: str) -> None:
    """Run a build to its end; ServiceError with what it printed last if it fails."""
    code, printed = system.attempt(*words, patience=_LONGEST)
    if code:
        lines = printed.splitlines()[-_LAST:]
        told = " | ".join(line.strip() for line in lines if line.strip())
        remedy = "Install what it lacks there: a compiler is in the Build Tools for Visual Studio"
        raise ServiceError(Fault("building", f"{name} cannot be built: {told}", remedy))
