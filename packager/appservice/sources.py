"""The sources of an app on their way into a build: copied from a folder, or out of a zip that nobody need trust."""

import contextlib
import lzma
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path, PurePosixPath
from typing import IO

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

_MOST_BYTES = 2 * 1024**3
"""Of a deployment, unpacked; the platform takes zips of up to 2 GB."""
_MOST_FILES = 200_000
_CHUNK = 1 << 20
_BROKEN = (zlib.error, lzma.LZMAError, OverflowError, ValueError)
"""What a compressed content is answered with that is none."""
Say = Callable[[str], None]


def mirror(source: Path, place: Path, left_out: Collection[Path], say: Say) -> None:
    """Copy a folder, but for some paths in it. A link that leads out of it is not copied, and said."""
    root = source.resolve()
    place.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(source):
        _copy(entry, place / entry.name, root, left_out, say)


def _copy(entry: "os.DirEntry[str]", place: Path, root: Path, left_out: Collection[Path], say: Say) -> None:
    path = Path(entry.path)
    if path in left_out:
        return
    if entry.is_symlink():
        if _stays_inside(path, root):
            place.symlink_to(path.readlink())
        else:
            say(f"WARNING: {path.name} links to a place outside of the app, which the platform has not; left out.")
    elif entry.is_dir():
        place.mkdir()
        for inner in os.scandir(path):
            _copy(inner, place / inner.name, root, left_out, say)
        shutil.copystat(path, place)
    elif entry.is_file():
        with contextlib.suppress(FileNotFoundError):  # an app that runs among its sources has just removed it
            shutil.copy2(path, place)


def _stays_inside(link: Path, root: Path) -> bool:
    try:
        return not link.readlink().is_absolute() and link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # it leads to itself
        return False


def unzip(path: Path, place: Path) -> None:
    """Unpack a zip into a new folder; ServiceError with every fault, before anything is written."""
    place.mkdir(parents=True)
    try:
        with zipfile.ZipFile(path) as archive:
            files = _checked(path, archive)
            left = _MOST_BYTES
            for info, name in files:
                target = place / name
                if info.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as packed:
                    left -= _write(packed, target, left)
                if info.external_attr >> 16 & stat.S_IXUSR:
                    target.chmod(0o755)
                if left < 0:
                    raise _fault(path, f"it holds more than {_MOST_BYTES:,} bytes", "Deploy less")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, *_BROKEN) as error:
        raise _fault(path, f"it is no zip that can be read: {error}", "Make it again") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        wrong = f"{Path(error.filename).name} is in it twice, or as a file and as a folder"
        raise _fault(path, wrong, "Make it again") from None


def _checked(path: Path, archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The entries and the paths they may have; ServiceError for names that lead elsewhere, links and the like."""
    infos = archive.infolist()
    if len(infos) > _MOST_FILES:
        raise _fault(path, f"it holds more than {_MOST_FILES:,} files", "Deploy less")
    faults, files = [], []
    for info in infos:
        name = PurePosixPath(info.filename.replace("\\", "/"))  # as some programs of Windows write them
        mode = info.external_attr >> 16
        label = ascii(info.filename)
        if name.is_absolute() or ".." in name.parts or ":" in (name.parts or ("",))[0] or "\0" in info.filename:
            faults.append(Fault(shown(path), f"{label} leads out of it", "Make it again, with relative names"))
        elif stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
            faults.append(Fault(shown(path), f"{label} is neither file nor folder", "Put the file itself into it"))
        elif name.parts:
            files.append((info, name))
    if faults:
        raise ServiceError(*faults)
    return files


def _write(packed: IO[bytes], target: Path, most: int) -> int:
    """Write at most so many bytes and a piece more; how many it were."""
    size = 0
    with target.open("xb") as file:
        while size <= most and (chunk := packed.read(_CHUNK)):
            file.write(chunk)
            size += len(chunk)
    return size


def _fault(path: Path, wrong: str, remedy: str) -> ServiceError:
    return ServiceError(Fault(shown(path), wrong, remedy))
