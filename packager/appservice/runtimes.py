"""The Pythons that apps can have here, and the choice of one by a version range."""

import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import uv

from cloudservice.errors import Fault
from packager.appservice.failure import UNSUPPORTED, BuildError
from packager.tools import ToolError, run

if TYPE_CHECKING:
    from packaging.version import Version

_LIST = ("python", "list", "--only-installed", "--no-python-downloads", "--output-format", "json")
STACK = "PYTHON|"
_OLDEST_CURRENT = (3, 8)


class Runtime(NamedTuple):
    """A Python of this machine: its full version and its interpreter."""

    version: str
    python: Path

    @property
    def stack(self) -> str:
        """The name that the platform has for it."""
        return f"{STACK}{'.'.join(self.version.split('.')[:2])}"


def own() -> Runtime:
    """The Python that runs rolepack, outside of its environment: the one that an app gets which asks for none."""
    return Runtime(platform.python_version(), Path(getattr(sys, "_base_executable", sys.executable)))


def installed() -> list[Runtime]:
    """All CPythons here, the newest first, each version once; our own before another of its version."""
    from packaging.version import Version

    try:
        listed = json.loads(run([uv.find_uv_bin(), *_LIST]))
    except ToolError:
        listed = []
    found = [own()]
    for one in listed:
        if one["implementation"] == "cpython" and one["path"] and one.get("variant", "default") == "default":
            found.append(Runtime(one["version"], Path(one["path"])))
    by_version = {runtime.version: runtime for runtime in reversed(found)}
    return sorted(by_version.values(), key=lambda runtime: Version(runtime.version), reverse=True)


def choose(asked: str) -> Runtime:
    """The Python for a version or range as npm writes them: `3.12`, `3`, `~3.11.2`, `>=3.10`; the highest that fits.

    BuildError if there is none.
    """
    asked = asked.strip()
    if asked == ".".join(map(str, sys.version_info[:2])):  # to ask for all others takes as long as a build
        return own()
    from packaging.version import Version

    there = installed()
    fitting = [runtime for runtime in there if _fits(asked, Version(runtime.version))]
    if fitting:
        return fitting[0]
    previews = [runtime for runtime in there if Version(runtime.version).is_prerelease]
    by_prefix = [runtime for runtime in previews if runtime.version.startswith(asked)] if asked else []
    if by_prefix:
        return by_prefix[0]
    raise _unsupported(asked, there)


def asked_by_stack(text: str) -> str | None:
    """The version in a runtime as the platform names it, `PYTHON|3.12` or `PYTHON:3.12`; a bare version is one too."""
    name, bar, version = text.strip().replace(":", "|").rpartition("|")
    if bar and name.strip().upper() != "PYTHON":
        return None
    return version.strip() or None


def _fits(asked: str, version: "Version") -> bool:
    import semantic_version  # which, like packaging, is not needed where no version is asked for

    if version.is_prerelease:
        return False
    try:
        return bool(semantic_version.NpmSpec(asked).match(semantic_version.Version(version.base_version)))
    except ValueError:
        return False


def _unsupported(asked: str, there: Sequence[Runtime]) -> BuildError:
    listed = ", ".join(runtime.version for runtime in reversed(there))
    line = f"Platform 'python' version '{asked}' is unsupported. Supported versions: {listed}"
    remedy = "Install that Python, or choose another with --runtime"
    return BuildError(UNSUPPORTED, line, Fault("Python", f"{asked or 'no version'} is not here", remedy))


def is_outdated(version: str) -> bool:
    """Whether the platform warns of a version."""
    return tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_CURRENT
