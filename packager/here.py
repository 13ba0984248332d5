"""The Pythons of this machine: where one of a version is, and what it is for markers and tags."""

import functools
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import packaging
import uv
from packaging.markers import Environment
from packaging.tags import Tag

from cloudservice.errors import Fault, ServiceError
from packager.tools import ToolError, run

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The version of the interpreter that runs rolepack."""
_ASK = """
import json, platform, sys, sysconfig
sys.path.insert(0, sys.argv[1])
from packaging import markers, tags
print(json.dumps({
    "version": platform.python_version(),
    "platform": sysconfig.get_platform(),
    "markers": markers.default_environment(),
    "tags": [str(tag) for tag in tags.sys_tags()],
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython of this machine: its full version, its platform as in the names of wheels, its markers and its tags."""

    path: Path
    version: str
    platform: str
    markers: Environment
    tags: tuple[Tag, ...]


@functools.cache
def find(minor: str) -> Path | None:
    """The interpreter of a version such as `3.12` outside of virtual environments; None if this machine has none."""
    if minor == MINOR:
        return Path(sys.executable)
    try:
        return Path(run([uv.find_uv_bin(), "python", "find", "--system", "--no-python-downloads", minor]).strip())
    except ToolError:
        return None


@functools.cache
def ask(python: Path) -> Interpreter:
    """What an interpreter says about itself, with our own copy of `packaging`; ServiceError if it does not run."""
    try:
        # Its own settings and packages have no say.
        printed = run([python, "-I", "-c", _ASK, Path(packaging.__file__).parent.parent])
    except ToolError as error:
        raise ServiceError(
            Fault(str(python), f"it does not run: {error}", "Repair that Python, or remove it")
        ) from None
    told = json.loads(printed)
    tags = (Tag(*text.split("-")) for text in told["tags"])
    name = told["platform"].replace("-", "_").replace(".", "_")
    return Interpreter(python, told["version"], name, told["markers"], tuple(tags))
