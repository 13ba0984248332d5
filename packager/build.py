"""Wheels from source distributions, and only wheels that the target can run."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import uv
from packaging.utils import parse_wheel_filename
from wheel.wheelfile import WheelFile

from cloudservice.errors import ServiceError
from cloudservice.files import write_whole
from packager import requirements, store
from packager.resolve import Pin
from packager.target import Target, host_version
from packager.tools import ToolError, run

_REPRODUCIBLE = {"SOURCE_DATE_EPOCH": "315532800", "CFLAGS": "-g0", "LDFLAGS": "-Wl,--build-id=none"}
"""Without these a compiler writes dates, folders and ids into what it makes. The date is 1980-01-01, zip's first."""
_NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}
"""Some packages fall back to pure Python where their C part cannot be built."""


def recall(pin: Pin, target: Target) -> Path | None:
    """The wheel that an earlier build of a source distribution left in the store, if it is still whole."""
    memo = _memo(pin, target)
    if not memo.is_file():
        return None
    sha256, _, name = memo.read_text().partition(" ")
    wheel = store.path_of(sha256, name)
    return wheel if wheel.is_file() and store.hash_of(wheel) == sha256 else None


def build(pin: Pin, sdist: Path, target: Target, asked_by: Path, environ: Mapping[str, str]) -> Path:
    """Make the wheel of a source distribution, in the store; raises ServiceError if the target could not run it.

    `asked_by` is the requirements file that the refusal names.
    """
    made, reason = "", ""
    for extra in ({}, _NO_COMPILER):
        with tempfile.TemporaryDirectory() as folder:
            try:
                wheel = _build(sdist, Path(folder), {**environ, **_REPRODUCIBLE, **extra})
            except ToolError as error:
                reason = reason or _last_line(str(error))
                continue
            _verify(wheel)
            if fits(wheel.name, target):
                kept = store.keep(wheel)
                write_whole(_memo(pin, target), f"{kept.parent.name} {kept.name}")
                return kept
            made = made or wheel.name.rpartition("-")[2].removesuffix(".whl")
    why = f"building here makes a {made} wheel (it has C code)" if made else f"building it here fails: {reason}"
    wrong = f"{pin.name} {pin.version} cannot be bundled for {target.label}: it has no wheel for it, and {why}"
    remedy = (
        f"Pin a version that has a {target.platform} wheel, add the index that has one, "
        f'or mark it ; sys_platform != "{_sys_platform(target)}"'
    )
    raise ServiceError(requirements.fault(asked_by, pin.name, wrong, remedy))


def fits(filename: str, target: Target) -> bool:
    """Whether a wheel of that name runs on the target."""
    return not parse_wheel_filename(filename)[3].isdisjoint(target.tags())


def _memo(pin: Pin, target: Target) -> Path:
    """Where the store notes which wheel was made of a source distribution."""
    return store.location() / "built" / f"{pin.sha256}-{target.platform}-{target.abi}"


def _build(sdist: Path, folder: Path, environ: Mapping[str, str]) -> Path:
    argv: list[str | Path] = [
        uv.find_uv_bin(),
        "build",
        "--wheel",
        "--quiet",
        "--python",
        host_version(),
        "--out-dir",
        folder,
        sdist,
    ]
    run(argv, environ)
    return next(folder.glob("*.whl"))


def _verify(wheel: Path) -> None:
    """Read every member against the hash that RECORD has for it."""
    with WheelFile(wheel) as file:
        for name in file.namelist():
            file.read(name)


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.strip().startswith("hint:")]
    return lines[-1].rstrip(".") if lines else "no output"


def _sys_platform(target: Target) -> str:
    environment = target.environment()
    return environment["sys_platform"] if environment else "linux"
