"""The zip that a zip deployment takes: an app's sources and, if it is not to be built in the cloud, its packages.

Prebuilt packages lie where a start looks for them in an app without a manifest, below the platform's name for its
virtual environment; the folder is no environment, and is not activated.
"""

import contextlib
import functools
import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cloudservice import app_settings, appservice
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, whole
from cloudservice.tells import Report
from packager import contents, locks, requirements, suspects, target, wheelhouse
from packager.appservice.detection import REQUIREMENTS, detect, version_asked
from packager.archive import ArchiveError, Writer
from packager.here import MINOR
from packager.policy import Need
from packager.wheelhouse import Wheelhouse

MOST_BYTES = 2 * 1024**3
"""What the platform takes in one zip."""
_SETTINGS = re.compile(rf"{re.escape(app_settings.FILE)}|{suspects.DOTENV}", re.IGNORECASE)
_PLACED = ("purelib", "platlib")


class File(NamedTuple):
    """A file of a parcel: where it comes from, and its permissions."""

    source: Path
    member: str | None
    mode: int

    def read(self, opened: Callable[[Path], zipfile.ZipFile]) -> bytes:
        """Its content, which may lie in a wheel; `opened` opens each wheel once."""
        return self.source.read_bytes() if self.member is None else opened(self.source).read(self.member)


class Parcel(NamedTuple):
    """What goes into the zip, by its names there; the version its packages are for, if it has any, and remarks.

    What it needs, and the wheels for it with their lock, are there if they are in it.
    """

    files: dict[str, File]
    version: str | None
    packages: int
    remarks: tuple[str, ...]
    need: Need | None = None
    house: Wheelhouse | None = None


def plan(app: Path, output: Path, version: str | None, is_prebuilt: bool, report: Report) -> Parcel:
    """Plan the zip of an app; ServiceError with all that cannot go into it.

    `version` is the Python of its packages, where it is not the one of runtime.txt, or our own.
    """
    there = [path for path in contents.walk(app, contents.rules(app, app, "Python")) if path.absolute() != output]
    left_out = sorted(filter(_is_setting, there))
    files = dict(_sources(app, [path for path in there if not _is_setting(path)]))
    remarks = [f"{path.relative_to(app)} is left out: settings stay on this machine" for path in left_out]
    for name, one in sorted(files.items()):
        if why := suspects.looks_secret(one.source):
            remarks.append(
                f"warning: {name}: {why}, and it lies readable in the zip. Leave it out with .rolepackignore."
            )
    if detect(app, REQUIREMENTS, is_recursive=True) is None:
        remarks.append("nothing in it says that it is Python")
    if not files:
        raise ServiceError(Fault(shown(app), "there is nothing to deploy in it", "Name the folder of an app"))
    if not is_prebuilt:
        if REQUIREMENTS not in files:
            remarks.append(f"there is no {REQUIREMENTS} at its root, where the platform looks for one")
        return Parcel(files, None, 0, tuple(remarks))
    if "manage.py" in files:
        what = "nothing runs collectstatic where nothing is built"
        remarks.append(f"warning: {what}: let its output lie among the sources, if the app serves static files.")
    wanted = target.parse(target.APP_SERVICE, version or version_asked(app) or MINOR)
    need = Need(requirements.read(requirements.usual(app)), wanted)
    house = wheelhouse.prepare({app.name: need}, report)
    place = f"{appservice.ENVIRONMENT}/lib/python{wanted.minor}/site-packages"
    for wheel in house.wheels_of(app.name):
        files.update(_unpacked(wheel.path, place))
    return Parcel(files, wanted.minor, len(house.wheels), (*remarks, *house.remarks), need, house)


def write(path: Path, parcel: Parcel) -> int:
    """Write the zip, whose bytes follow from its content alone; its size. ServiceError if it would be too large."""
    try:
        with contextlib.ExitStack() as held, whole(path) as file, Writer(file) as archive:
            opened = functools.cache(lambda wheel: held.enter_context(zipfile.ZipFile(wheel)))
            for name, one in sorted(parcel.files.items()):
                archive.add(name, one.read(opened), one.mode)
                if file.tell() > MOST_BYTES:
                    raise _too_large(path)
    except ArchiveError:
        raise _too_large(path) from None
    return path.stat().st_size


def _too_large(path: Path) -> ServiceError:
    remedy = "Leave files out with .rolepackignore, or let the cloud install the packages"
    return ServiceError(Fault(shown(path), f"it would be larger than {MOST_BYTES:,} bytes", remedy))


def _sources(app: Path, there: Iterable[Path]) -> Iterator[tuple[str, File]]:
    faults = []
    for path in there:
        name = path.relative_to(app).as_posix()
        target = path.resolve()
        if locks.NAME.fullmatch(path.name):
            continue
        if path.is_symlink() and (_is_setting(target) or appservice.STATE in target.parts):
            faults.append(Fault(shown(path), "it is a link to settings, which stay on this machine", "Remove it"))
        elif not target.is_relative_to(app.resolve()):
            faults.append(Fault(shown(path), "it is a link out of the app's folder", "Put the file itself there"))
        elif not path.is_file():
            faults.append(Fault(shown(path), "it is no ordinary file", "Remove it, or put a file there"))
        elif not name.isprintable():
            faults.append(Fault(ascii(name), "its name has control characters", "Rename it"))
        else:
            yield name, File(path, None, _mode(path.stat().st_mode))
    if faults:
        raise ServiceError(*faults)


def _is_setting(path: Path) -> bool:
    return _SETTINGS.fullmatch(path.name) is not None


def _unpacked(wheel: Path, place: str) -> Iterator[tuple[str, File]]:
    """The modules of a wheel where they are installed; its scripts are no use in a folder that is not activated."""
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            path = PurePosixPath(info.filename)
            parts = path.parts
            if info.is_dir():
                continue
            if parts[0].endswith(".data"):
                if parts[1] not in _PLACED:
                    continue
                parts = parts[2:]
            yield "/".join((place, *parts)), File(wheel, info.filename, _mode(info.external_attr >> 16))


def _mode(mode: int) -> int:
    """The permissions that a file gets, whatever those of its owner's machine are."""
    return 0o755 if mode & stat.S_IXUSR else 0o644
