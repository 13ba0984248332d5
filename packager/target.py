"""The machine that wheels must fit: its markers, its tags and its names."""

import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from packaging import tags
from packaging.markers import Environment
from packaging.tags import Tag

from cloudservice.errors import Fault, ServiceError

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


@dataclass(frozen=True, slots=True)
class Target:
    """A CPython of a full version on a platform. `platform` is a key of PLATFORMS, or `host` for this machine."""

    platform: str
    python: str

    @property
    def label(self) -> str:
        """For messages: `Windows x64, CPython 3.12`."""
        name = "this machine" if self.platform == "host" else PLATFORMS[self.platform].label
        return f"{name}, CPython {self.minor}"

    @property
    def is_windows(self) -> bool:
        """Whether it is a Windows machine; this one never counts as such a target."""
        return self.platform.startswith("win")

    @property
    def minor(self) -> str:
        """The version up to the minor number, `3.12`."""
        return ".".join(self.python.split(".")[:2])

    @property
    def abi(self) -> str:
        """The tag of its ABI, `cp312`."""
        return "cp" + self.minor.replace(".", "")

    def uv_options(self) -> list[str]:
        """What makes uv resolve for this target instead of the running interpreter."""
        version = ["--python-version", self.python]
        return version if self.platform == "host" else ["--python-platform", PLATFORMS[self.platform].uv, *version]

    def environment(self) -> Environment | None:
        """The values of the markers on this target; None means those of the running interpreter."""
        if self.platform == "host":
            return None
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
        if self.platform == "host":
            return list(tags.sys_tags())
        version = tuple(int(part) for part in self.minor.split("."))
        platforms = list(_platform_tags(self.platform))
        interpreter = f"cp{version[0]}{version[1]}"
        native = tags.cpython_tags(python_version=version, abis=[self.abi], platforms=platforms)
        return [*native, *tags.compatible_tags(version, interpreter=interpreter, platforms=platforms)]


def parse(name: str, python: str) -> Target:
    """The target of `--target` and `--python`; `host` takes the version of the running interpreter."""
    if name == "host":
        return Target("host", platform.python_version())
    if name not in PLATFORMS:
        raise ServiceError(Fault("--target", f"'{name}' is unknown", f"Choose host, {', '.join(PLATFORMS)}"))
    if not re.fullmatch(r"3\.\d+(\.\d+)?", python):
        raise ServiceError(Fault("--python", f"'{python}' is no Python version", "Write it as 3.12 or 3.12.10"))
    full = python if python.count(".") == 2 else LAST_BINARY_RELEASES.get(python, f"{python}.0")
    return Target(name, full)


def host_version() -> str:
    """The version of this interpreter up to the minor number."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


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
