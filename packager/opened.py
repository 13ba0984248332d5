"""A bundle as a file: what is in it, whether every byte of it is right, and its roles laid down in a folder.

Bundles that another tool wrote in the same format are read as well; only ours can be verified to the last bit.
"""

import hashlib
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import NoReturn

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, whole_folder
from cloudservice.names import is_file_name
from cloudservice.tells import Report
from packager import manifest, signature
from packager.archive import ArchiveError, Entry, Reader
from packager.manifest import Manifest, ManifestError

_MOST_MANIFEST = 64 * 1024 * 1024
_MOST_SIGNATURE = 64 * 1024
_CHUNK = 1 << 17


@dataclass(frozen=True, slots=True)
class Opened:
    """An open bundle: what its manifest says, and its content by the name of the part."""

    path: Path
    archive: zipfile.ZipFile
    manifest: Manifest

    def read(self, part: str) -> Iterator[bytes]:
        """The content of a part in pieces; ServiceError if it is not what the manifest says."""
        listed = self.manifest.parts[part]
        digest, size = hashlib.sha256(), 0
        try:
            with self.archive.open(part) as content:
                while size <= listed.size and (piece := content.read(_CHUNK)):
                    digest.update(piece)
                    size += len(piece)
                    yield piece
        except (KeyError, zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError) as error:
            raise self._damaged(part, str(error)) from None
        if (digest.hexdigest(), size) != (listed.sha256, listed.size):
            raise self._damaged(part, "it is not what the manifest says")

    def text(self, role: str, path: str) -> str:
        """A small file of a role as text; empty if the role has none of that path."""
        part = self.manifest.roles[role].get(path)
        return b"".join(self.read(part)).decode("utf-8-sig", "replace") if part else ""

    def definition(self) -> bytes:
        """The normalised definition; ServiceError if there is none."""
        if manifest.DEFINITION not in self.manifest.parts:
            raise ServiceError(Fault(shown(self.path), "it has no service definition", "Make the bundle again"))
        return b"".join(self.read(manifest.DEFINITION))

    def _damaged(self, part: str, why: str) -> ServiceError:
        wrong = f"{_shown(self.manifest, part)} is damaged: {why}"
        return ServiceError(Fault(shown(self.path), wrong, "Make or fetch the bundle again"))


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Open a bundle for as long as the block lasts; ServiceError if it is none."""
    bundle = _open(path)
    with bundle.archive:
        faults = [Fault(shown(path), wrong, "Do not unpack it") for wrong in _hostile(bundle.manifest)]
        if faults:
            raise ServiceError(*faults)
        yield bundle


def _open(path: Path) -> Opened:
    remedy = "Give a .cspkg in the format of 2012, as `invoke package` makes it"
    try:
        archive = zipfile.ZipFile(path)
        try:
            if archive.getinfo(manifest.NAME).file_size > _MOST_MANIFEST:
                raise ServiceError(Fault(shown(path), "its package.xml is too large to be one", remedy))
            return Opened(path, archive, manifest.parse(archive.read(manifest.NAME)))
        except BaseException:
            archive.close()
            raise
    except FileNotFoundError:
        raise ServiceError(Fault(shown(path), "there is no such file", "Correct the path")) from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        ManifestError,
        NotImplementedError,
        IsADirectoryError,
        RuntimeError,
    ) as error:
        raise ServiceError(Fault(shown(path), f"it is no bundle: {error}", remedy)) from None


def extract(bundle: Opened, role: str, place: Path, report: Report) -> None:
    """Lay the files of a role down in a folder, which appears whole or not at all."""
    files = bundle.manifest.roles[role]
    total = sum(bundle.manifest.parts[part].size for part in files.values())
    done = 0
    with whole_folder(place) as folder:
        for path, part in files.items():
            target = folder.joinpath(*PureWindowsPath(path).parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:  # the folder as a whole gets its name at the end
                for piece in bundle.read(part):
                    file.write(piece)
                    done += len(piece)
            report(f"Extracting {role}", done, total)


def verify(path: Path, report: Report) -> tuple[Manifest, bytes | None]:
    """Account for every byte of a bundle; its manifest, and the signature in it if there is one.

    ServiceError with the first thing that is not as rolepack writes it; what a flipped bit hits is named.
    """
    try:
        with path.open("rb") as file:
            return _Verification(Reader(file), report).run()
    except FileNotFoundError:
        raise ServiceError(Fault(shown(path), "there is no such file", "Correct the path")) from None
    except (ArchiveError, ManifestError, IsADirectoryError) as error:
        raise ServiceError(Fault(shown(path), str(error), "Do not use it; make or fetch the bundle again")) from None


class _Verification:
    """One pass over the entries of a bundle, in their order."""

    def __init__(self, reader: Reader, report: Report) -> None:
        self._reader, self._report = reader, report
        self._entries = reader.entries()

    def run(self) -> tuple[Manifest, bytes | None]:
        heads = [self._whole(name) for name in (manifest.TYPES, manifest.RELATIONSHIPS, manifest.NAME)]
        found = manifest.parse(heads[2])
        if manifest.render(found) != heads[2]:
            self._fail(f"{manifest.NAME} is not as rolepack writes it")
        if heads[:2] != [manifest.content_types(found.parts), manifest.relationships()]:
            self._fail(f"{manifest.TYPES} or {manifest.RELATIONSHIPS} is not as rolepack writes it")
        for wrong in _hostile(found):
            self._fail(wrong)
        signed = None
        waiting = deque(found.parts)
        total, done = sum(part.size for part in found.parts.values()), 0
        for entry in self._entries:
            if entry.name == signature.NAME and signed is None and entry.size <= _MOST_SIGNATURE:
                signed = b"".join(self._reader.content(entry))
                continue
            if not waiting or entry.name != waiting[0]:
                self._fail(f"{entry.name} is in it, and not where {manifest.NAME} has it")
            self._part(entry, found, waiting.popleft())
            done += entry.size
            self._report("Verifying", done, total)
        if waiting:
            self._fail(f"{waiting[0]} is not in it, and {manifest.NAME} names it")
        return found, signed

    def _whole(self, name: str) -> bytes:
        entry = next(self._entries, None)
        if entry is None or entry.name != name or entry.size > _MOST_MANIFEST:
            self._fail(f"it does not begin as a bundle of rolepack's: {name} is not where it belongs")
        return b"".join(self._reader.content(entry))

    def _part(self, entry: Entry, found: Manifest, name: str) -> None:
        digest = hashlib.sha256()
        try:
            for piece in self._reader.content(entry):
                digest.update(piece)
        except ArchiveError as error:
            self._fail(f"{error} ({_shown(found, name)})")
        if (digest.hexdigest(), entry.size) != (found.parts[name].sha256, found.parts[name].size):
            self._fail(f"{_shown(found, name)} is not what {manifest.NAME} says: another SHA-256 or length")

    @staticmethod
    def _fail(wrong: str) -> NoReturn:
        raise ArchiveError(wrong)


def _shown(found: Manifest, part: str) -> str:
    r"""Where a part goes, as `web\approot\app.py`; its name if it belongs to no role."""
    files = (f"{role}{path}" for role, files in found.roles.items() for path, name in files.items() if name == part)
    return ", ".join(files) or part


def _hostile(found: Manifest) -> Iterator[str]:
    """Paths that lead out of the folder they are unpacked to, or that two files would have."""
    for role, files in found.roles.items():
        seen: set[str] = set()
        if not is_file_name(role):
            yield f"the role '{role}' has a name that is none of a folder"
        for path in files:
            if not _is_plain(path):
                yield f"role '{role}' has a file '{path}', which leads out of its folder or is no path"
            elif path.lower() in seen:
                yield f"role '{role}' has two files '{path}'"
            seen.add(path.lower())
        folders = {above for path in seen for above in _above(path)}
        yield from (f"role '{role}' has '{path}' as a file and as a folder" for path in sorted(seen & folders))


def _above(path: str) -> Iterator[str]:
    """The folders that a file lies in."""
    parts = path.split("\\")
    yield from ("\\".join(parts[:count]) for count in range(2, len(parts)))


def _is_plain(path: str) -> bool:
    """Whether it is a path below a root, such as Windows can have."""
    root, *parts = path.split("\\")
    return not root and bool(parts) and all(map(is_file_name, parts))
