"""Content on a host: parts by their SHA-256, which arrive in pieces, and the folders of instances made of them."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import IO

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import sha256_of
from cloudservice.names import is_file_name
from publisher.agent.frames import CHUNK, unpack
from publisher.agent.place import Place

Piece = tuple[str, int, int, int]
"""The SHA-256 and the size of a part, and from where to where a piece of it goes."""
_ROOM = "Make room there, then publish again: what has arrived stays"
_HEX = frozenset("0123456789abcdef")


def missing(place: Place, sizes: Mapping[str, int]) -> dict[str, int]:
    """The parts of these sizes that are not here, and how many bytes of each are."""
    there: dict[str, int] = {}
    for sha256, size in sizes.items():
        part = place.part(_checked(sha256))
        if _size(part) != size:
            there[sha256] = min(_size(_unfinished(part)) or 0, size)
    return there


def receive(place: Place, pieces: Sequence[Piece], incoming: IO[bytes]) -> None:
    """Write what arrives; a part appears when its last piece has come and its hash is right.

    ServiceError if that fails, when all of these pieces have been taken.
    """
    faults: list[Fault] = []
    for sha256, size, start, end in pieces:
        content = _content(incoming, end - start)
        try:
            if not faults:
                _receive(place.part(_checked(sha256)), sha256, size, start, content)
        except ServiceError as error:
            faults += error.faults
        except OSError as error:
            remedy = _ROOM if error.errno == errno.ENOSPC else "Mend that there, then publish again"
            faults.append(Fault("upload", f"part {sha256[:12]} cannot be written: {error.strerror}", remedy))
        for _ in content:
            pass
    if faults:
        raise ServiceError(*faults)


def lay(place: Place, letter: str, version: str, instances: Mapping[str, Mapping[str, str]]) -> None:
    """Make the folder of each instance that has none, of parts whose hashes are checked; it appears whole.

    `instances` has the SHA-256 of each file by its Windows path. ServiceError if a part is not what its name says: that
    is removed, so that it can come again.
    """
    for name, files in instances.items():
        target = place.instance(letter, version, name)
        if target.is_dir():
            continue
        part = target.with_name(f".{name}.{os.getpid()}.part")
        part.mkdir(parents=True)  # tempfile's would be its owner's alone, and so would be what lies in it
        try:
            for path, sha256 in files.items():
                _copy(place.part(_checked(sha256)), sha256, part.joinpath(*_names(path)))
            with contextlib.suppress(FileExistsError, PermissionError):  # another session was faster
                part.rename(target)
            if not target.is_dir():
                part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def sweep(place: Place, wanted: set[str]) -> None:
    """Remove the parts that nothing needs any more."""
    for part in place.parts.glob("*/*"):
        if part.name.removesuffix(".part") not in wanted:
            part.unlink(missing_ok=True)


def _receive(part: Path, sha256: str, size: int, start: int, content: Iterator[bytes]) -> None:
    unfinished = _unfinished(part)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    with _opened(unfinished) as file:
        file.seek(start)
        file.truncate()
        for chunk in content:
            file.write(chunk)
        end = file.tell()
    if end < size:
        return
    if sha256_of(unfinished) != sha256:
        unfinished.unlink()
        wrong = f"part {sha256[:12]} has arrived damaged"
        raise ServiceError(Fault("upload", wrong, "Publish again; it is sent anew"))
    unfinished.replace(part)


def _content(incoming: IO[bytes], count: int) -> Iterator[bytes]:
    """The next bytes that arrive, in chunks."""
    while count > 0:
        chunk = unpack(incoming)
        count -= len(chunk)
        yield chunk


def _opened(path: Path) -> IO[bytes]:
    """A file to go on with."""
    return path.open("r+b" if path.exists() else "w+b")


def _copy(source: Path, sha256: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as content, target.open("xb") as file:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())  # a folder that has its name is complete, also after a loss of power
    if digest.hexdigest() != sha256:
        source.unlink()
        wrong = f"part {sha256[:12]}, for {target.name}, was changed on the host"
        raise ServiceError(Fault("unpacking", wrong, "Publish again: it is sent anew"))


def _names(path: str) -> tuple[str, ...]:
    r"""The parts of a path such as \approot\app.py; ServiceError if it leads elsewhere."""
    names = PureWindowsPath(path).parts[1:]
    if not path.startswith("\\") or not names or not all(map(is_file_name, names)):
        raise ServiceError(Fault("unpacking", f"'{path}' is no path below a role's root", "Make the bundle again"))
    return names


def _checked(sha256: str) -> str:
    if len(sha256) != 64 or not _HEX.issuperset(sha256):
        raise ServiceError(Fault("upload", f"'{sha256}' is no SHA-256", "This is a fault of rolepack's; report it"))
    return sha256


def _unfinished(part: Path) -> Path:
    return part.with_name(f"{part.name}.part")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
