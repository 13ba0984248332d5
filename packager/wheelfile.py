"""A wheel as a file, which anyone may have made: read against its own RECORD before it is kept."""

import csv
import lzma
import struct
import zipfile
import zlib
from email.parser import HeaderParser
from io import StringIO
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version
from wheel.wheelfile import WheelError, WheelFile

_CHUNK = 1 << 17
_DAMAGES = (
    *(WheelError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, csv.Error),
    *(ValueError, KeyError, EOFError, OSError, NotImplementedError, RuntimeError),
)
"""What the libraries raise for files that are no wheel, or one that was damaged anywhere."""


class DamagedError(Exception):
    """A file that is not the wheel that its name promises; the text says why."""


def verify(wheel: Path) -> str:
    """Read every member against the hash that RECORD has for it; returns what made the wheel, as it says itself.

    DamagedError if one is missing or another, or if METADATA is of another package or version than the file's name.
    """
    try:
        with WheelFile(wheel) as file:
            for member in file.infolist():
                _read(file, member)
            _check_listed(file)
            _check_names(wheel, file.read(f"{file.dist_info_path}/METADATA").decode("utf-8", "replace"))
            said = HeaderParser().parsestr(file.read(f"{file.dist_info_path}/WHEEL").decode())
    except _DAMAGES as error:
        reason = " ".join(str(error.args[-1] if error.args else error).split())
        raise DamagedError(f"it is no whole wheel: {reason}") from None
    return said.get("Generator", "")


def _read(file: WheelFile, member: zipfile.ZipInfo) -> None:
    with file.open(member) as content:
        while content.read(_CHUNK):
            pass


def _check_listed(file: WheelFile) -> None:
    rows = csv.reader(StringIO(file.read(file.record_path).decode()))
    missing = {row[0] for row in rows if row} - set(file.namelist())
    if missing:
        raise DamagedError(f"it lacks {min(missing)}, which its RECORD names")


def _check_names(wheel: Path, metadata: str) -> None:
    """DamagedError if METADATA does not say what the name of the file does; pip would refuse to install it."""
    said = HeaderParser().parsestr(metadata)
    name, version, *_ = parse_wheel_filename(wheel.name)
    if (canonicalize_name(said["Name"] or ""), Version(said["Version"] or "")) != (name, version):
        raise DamagedError(f"its METADATA says that it is {said['Name']} {said['Version']}")
