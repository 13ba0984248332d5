"""The machine that wheels must fit: its markers, its tags and its names."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging import tags
from packaging.markers import Environment
from packaging.tags import Tag

from cloudservice.errors import Fault, ServiceError
from packager import here, version
from packager.here import Interpreter

LAST_BINARY_RELEASES = {"3.10": "3.10.11", "3.11": "3.11.9", "3.12": "3.12.10", "3.13": "3.13.9", "3.14": "3.14.0"}
"""Markers may ask for the full version; where only `3.12` is given, it is the last one that Windows could install."""


@dataclass(frozen=True, slots=True)
class Platform:
    """One row of the platforms that can be a target."""

    label: str
    uv: str
    sys_platform: str
    system: str
    machine: str


PLATFORMS = {
    "win_amd64": Platform("Windows x64", "x86_64-pc-windows-msvc", "win32", "Windows", "AMD64"),
    "win_arm64": Platform("Windows ARM64", "aarch64-pc-windows-msvc", "win32", "Windows", "ARM64"),
    "manylinux_2_28_x86_64": Platform("Linux x64", "x86_64-manylinux_2_28", "linux", "Linux", "x86_64"),
    "manylinux_2_28_aarch64": Platform("Linux ARM64", "aarch64-manylinux_2_28", "linux", "Linux", "aarch64"),
}


APP_SERVICE = "manylinux_2_28_x86_64"
"""The platform of apps and roles that App Service hosts on Linux."""


@dataclass(frozen=True, slots=True)
class Target:
    """A CPython of a full version on a platform: a key of PLATFORMS or, with an `interpreter`, this machine's name."""

    platform: str
    python: str
    interpreter: Interpreter | None = None

    @property
    def label(self) -> str:
        """For messages: `Windows x64, CPython 3.12`."""
        name = "this machine" if self.interpreter else PLATFORMS[self.platform].label
        return f"{name}, CPython {self.minor}"

    @property
    def is_windows(self) -> bool:
        """Whether it is a Windows machine; this one never counts as such a target."""
        return self.interpreter is None and self.platform.startswith("win")

    @property
    def minor(self) -> str:
        """The version up to the minor number, `3.12`."""
        return minor_of(self.python)

    @property
    def abi(self) -> str:
        """The tag of its ABI, `cp312`."""
        return "cp" + self.minor.replace(".", "")

    def uv_options(self) -> list[str]:
        """What makes uv resolve for this target instead of the running interpreter."""
        if self.interpreter is not None:
            return ["--python", str(self.interpreter.path)]
        # Without --python uv would look for an interpreter of the target's version.
        there = ["--python-platform", PLATFORMS[self.platform].uv, "--python-version", self.python]
        return ["--python", sys.executable, *there]

    def environment(self) -> Environment:
        """The values of the markers on this target."""
        if self.interpreter is not None:
            return self.interpreter.markers
        row = PLATFORMS[self.platform]
        return {
            "implementation_name": "cpython",
            "implementation_version": self.python,
            "os_name": "nt" if row.system == "Windows" else "posix",
            "platform_machine": row.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": row.system,
            "platform_version": "",
            "python_full_version": self.python,
            "python_version": self.minor,
            "sys_platform": row.sys_platform,
        }

    def tags(self) -> list[Tag]:
        """The tags of the wheels that run there, best first."""
        if self.interpreter is not None:
            return list(self.interpreter.tags)
        version = tuple(int(part) for part in self.minor.split("."))
        platforms = list(_platform_tags(self.platform))
        interpreter = f"cp{version[0]}{version[1]}"
        native = tags.cpython_tags(python_version=version, abis=[self.abi], platforms=platforms)
        return [*native, *tags.compatible_tags(version, interpreter=interpreter, platforms=platforms)]


def parse(name: str, python: str) -> Target:
    """The target of `--target` and `--python`; for `host`, this machine must have that Python."""
    if name != "host" and name not in PLATFORMS:
        raise ServiceError(Fault("--target", f"'{name}' is unknown", f"Choose host, {', '.join(PLATFORMS)}"))
    asked = version.parse(python)
    if asked is None:
        raise ServiceError(Fault("--python", f"'{python}' is no Python version", "Write it as 3.12 or 3.12.10"))
    if name == "host":
        return of_this_machine(asked)
    full = asked if asked.count(".") == 2 else LAST_BINARY_RELEASES.get(asked, f"{asked}.0")
    return Target(name, full)


def nearest_here(python: str) -> Target:
    """The machine that this runs on, with its Python of that version or else the one that runs rolepack."""
    found = here.find(minor_of(python)) or Path(sys.executable)
    interpreter = here.ask(found)
    return Target(interpreter.platform, interpreter.version, interpreter)


def of_this_machine(python: str) -> Target:
    """The machine that this runs on, with its Python of that version; ServiceError if it has none."""
    if here.find(minor_of(python)) is None:
        raise ServiceError(Fault("--target host", f"this machine has no Python {python}", "Install it"))
    return nearest_here(python)


def minor_of(python: str) -> str:
    """A version up to the minor number, `3.12`."""
    return ".".join(python.split(".")[:2])


def _platform_tags(name: str) -> Iterator[str]:
    """The platform tags that run on a platform; a manylinux level runs wheels of every lower one (PEP 600)."""
    match = re.fullmatch(r"manylinux_2_(\d+)_(\w+)", name)
    if match is None:
        yield name
        return
    legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    for level in range(int(match[1]), 4, -1):
        yield f"manylinux_2_{level}_{match[2]}"
        if level in legacy:
            yield f"{legacy[level]}_{match[2]}"
