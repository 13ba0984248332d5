"""The bundle: one .cspkg in the documented layout, the same bytes for the same input.

Source: the published grammar of the 2012-03-15 package format. The parts that only Azure's own fabric reads (service
model, named streams, Microsoft's role runtime) are left out: the runtime may not be shipped by anyone else.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cloudservice import folder, normalised, rolemodel, sources
from cloudservice.appservice import Hosting
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import sha256_of, shown, whole
from cloudservice.project import Listing
from cloudservice.service import Role, Service, Source
from cloudservice.tells import Report
from packager import contents, interpreter, locks, manifest, scripts
from packager.archive import MOST_DEFLATED, ArchiveError, Writer
from packager.contents import Rules
from packager.manifest import Listed, Manifest
from packager.requirements import SHELF
from packager.wheelhouse import FOLDER, Wheelhouse

if TYPE_CHECKING:
    from packager.signature import Private

LOCK = "requirements.lock"
HOSTING = "hosting.json"
"""In the folder of a role that App Service hosts."""
_BETWEEN = 1 << 20
"""Bytes after which progress is told again."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of content: bytes, or a file of known hash and size. Wheels are already compressed."""

    name: str
    source: Path | bytes
    sha256: str
    size: int
    compressed: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """What goes into the file: every distinct part by name, and for each role which part each file is."""

    parts: Mapping[str, Part]
    roles: Mapping[str, Mapping[str, str]]

    def having(self, name: str, content: bytes) -> "Bundle":
        """The bundle with a part more, which belongs to no role."""
        return Bundle({**self.parts, name: _part(content, name)}, self.roles)

    @property
    def size(self) -> int:
        """The bytes of all parts, before compression."""
        return sum(part.size for part in self.parts.values())

    @property
    def manifest(self) -> Manifest:
        """The same, as package.xml says it."""
        return Manifest({name: Listed(part.size, part.sha256) for name, part in self.parts.items()}, self.roles)


def plan(
    root: Path,
    service: Service,
    wheelhouse: Wheelhouse,
    python: Path | None = None,
    hosting: Mapping[str, Hosting] | None = None,
) -> Bundle:
    """Hash everything that belongs to the service in folder `root`; nothing is written.

    `python` is a Python package for hosts that have none, which each role in Python gets; `hosting` tells of the roles
    that App Service hosts, which get a file that says so.
    """
    reasons = left_out(service)
    if len(reasons) == len(service.roles):
        told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        wrong = f"no role can be packaged ({told})"
        raise ServiceError(Fault(f"service '{service.name}'", wrong, "Add one that can"))
    roles = tuple(role for role in service.roles if role.name not in reasons)
    definition = _part(normalised.render(service, roles), manifest.DEFINITION)
    parts = {definition.name: definition}
    layouts: dict[str, dict[str, str]] = {}
    faults: list[Fault] = []
    for role in roles:
        layout = layouts.setdefault(role.name, {})
        try:
            source = service.sources[role.name]
            added = [*_python(source, python), *_hosting((hosting or {}).get(role.name))]
            for path, part in _role(root, role, source, wheelhouse, added):
                parts.setdefault(part.name, part)
                layout[path] = part.name
        except ServiceError as error:
            faults += error.faults
    if faults:
        raise ServiceError(*faults)
    return Bundle(parts, layouts)


def write(path: Path, bundle: Bundle, report: Report, key: "Private | None" = None) -> None:
    """Write the bundle to `path`, signed if there is a key; it appears whole or not at all."""
    package_xml = manifest.render(bundle.manifest)
    try:
        with whole(path) as file, Writer(file) as archive:
            archive.add(manifest.TYPES, manifest.content_types(bundle.parts))
            archive.add(manifest.RELATIONSHIPS, manifest.relationships())
            archive.add(manifest.NAME, package_xml)
            if key is not None:
                from packager import signature

                archive.add(signature.NAME, signature.sign(key, package_xml))
            total, done, told = bundle.size, 0, 0
            for part in bundle.parts.values():
                _write_part(archive, part)
                done += part.size
                if done - told > _BETWEEN or done == total:
                    told = done
                    report(f"Writing {path.name}", done, total)
    except ArchiveError as error:
        raise ServiceError(
            Fault(shown(path), str(error), "Leave out what is not needed, or split the service")
        ) from None


def left_out(service: Service) -> dict[str, str]:
    """Why roles do not go into a bundle, by name."""
    reasons = {role.name: sources.why_not_packaged(role, service.sources[role.name]) for role in service.roles}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _role(
    root: Path, role: Role, source: Source, wheelhouse: Wheelhouse, added: Iterable[tuple[PurePosixPath, Part]]
) -> Iterator[tuple[str, Part]]:
    """Every file of a role instance's root by its Windows path; a file that comes from two places is a fault."""
    seen: dict[str, tuple[str, Part]] = {}
    faults: list[Fault] = []
    for place, part in (
        *_sites(root, role, source),
        *_sources(root, role, source),
        *_wheels(role, source, wheelhouse),
        *added,
    ):
        path = "\\" + str(place).replace("/", "\\")
        spelled, twin = seen.setdefault(path.lower(), (path, part))
        if (spelled, twin.name) != (path, part.name):
            wrong = f"it would be {path} in role '{role.name}', and so would {_origin(twin)}"
            faults.append(Fault(_origin(part), wrong, "Give one of them another name or destination"))
        yield path, part
    if faults:
        raise ServiceError(*faults)


def _origin(part: Part) -> str:
    """Where a part comes from, for messages."""
    return shown(part.source) if isinstance(part.source, Path) else "a file that rolepack adds"


def _sites(root: Path, role: Role, source: Source) -> Iterator[tuple[PurePosixPath, Part]]:
    """RoleModel.xml, and the folders of sites and of what lies below them that are not the role's own."""
    numbers: dict[Path, int] = {}
    directories = {}
    for names, place in folder.virtual_folders(root, role, source).items():
        if place.resolve() == source.folder.resolve():
            directories[names] = "approot"
        else:
            directories[names] = f"sitesroot\\{numbers.setdefault(place, len(numbers))}"
    yield PurePosixPath("RoleModel.xml"), _part(rolemodel.render(role, directories))
    for place, number in numbers.items():
        yield from _folder(PurePosixPath("sitesroot", str(number)), place, contents.rules(root, place, source.language))


def _sources(root: Path, role: Role, source: Source) -> Iterator[tuple[PurePosixPath, Part]]:
    """The role's own files, and the contents that the definition adds to them."""
    approot = PurePosixPath("approot")
    rules = contents.rules(root, source.folder, source.language)
    own = scripts.foreign(source) is None
    for path, part in _folder(approot, source.folder, rules, sources.listing_of(source)):
        below = path.relative_to(approot)
        if not (source.language == "Python" and own and _is_input(below)):
            yield path, part
    for destination, place in folder.content_folders(root, role).items():
        yield from _folder(approot / destination, place, contents.rules(root, place, source.language))


def _is_input(path: PurePosixPath) -> bool:
    """Whether a file of a role has gone into the wheelhouse: a lock that is kept, or a wheel of the user's own."""
    return locks.NAME.fullmatch(path.name) is not None or (path.parent.name == SHELF and path.suffix == ".whl")


def _wheels(role: Role, source: Source, wheelhouse: Wheelhouse) -> Iterator[tuple[PurePosixPath, Part]]:
    """The role's wheels and its lock, if it has any."""
    if role.name not in wheelhouse.roles:
        return
    approot = PurePosixPath("approot")
    _check_own_names(source.folder)
    yield approot / LOCK, _part(locks.shipped(wheelhouse.roles[role.name], role.name).encode())
    for wheel in wheelhouse.wheels_of(role.name):
        size = wheel.path.stat().st_size
        part = Part(_content_name(wheel.sha256), wheel.path, wheel.sha256, size, compressed=True)
        yield approot / FOLDER / wheel.path.name, part


def _python(source: Source, python: Path | None) -> Iterator[tuple[PurePosixPath, Part]]:
    """The Python package of a role, where ConfigureCloudService.ps1 looks for it."""
    if python is None or source.language != "Python":
        return
    there = [path for path in (source.folder / "bin").glob("*") if interpreter.is_package_name(path.name)]
    if there:
        wrong = "the bundle is to bring another Python package"
        raise ServiceError(*(Fault(shown(path), wrong, "Remove it, or leave --with-python out") for path in there))
    yield PurePosixPath("approot", "bin", f"python{python.suffix.lower()}"), _file_part(python, compressed=True)


def _hosting(hosting: Hosting | None) -> Iterator[tuple[PurePosixPath, Part]]:
    """What says that App Service hosts a role, if it does."""
    if hosting is not None:
        yield PurePosixPath("approot", HOSTING), _part(json.dumps(hosting._asdict()).encode() + b"\n")


def _check_own_names(role: Path) -> None:
    """What the bundle adds to a role's folder must not be there, in any case."""
    taken = [path for path in sorted(role.iterdir()) if path.name.lower() in {FOLDER, LOCK, HOSTING}]
    if taken:
        wrong = "the bundle puts its own there"
        raise ServiceError(*(Fault(shown(path), wrong, "Rename it, or remove it") for path in taken))


def _folder(
    place: PurePosixPath, root: Path, rules: Rules, listing: Listing | None = None
) -> Iterable[tuple[PurePosixPath, Part]]:
    for name, path in contents.files(root, rules, listing):
        yield place / name, _file_part(path)


def _file_part(path: Path, *, compressed: bool = False) -> Part:
    sha256 = sha256_of(path)
    return Part(_content_name(sha256), path, sha256, path.stat().st_size, compressed)


def _part(content: bytes, name: str | None = None) -> Part:
    sha256 = hashlib.sha256(content).hexdigest()
    return Part(name or _content_name(sha256), content, sha256, len(content))


def _content_name(sha256: str) -> str:
    """Content is named after itself, so that the same file in two roles is one part."""
    return f"{manifest.CONTENT}{sha256[:32]}"


def _write_part(archive: Writer, part: Part) -> None:
    if isinstance(part.source, bytes):
        archive.add(part.name, part.source)
        return
    if part.compressed or part.size > MOST_DEFLATED:
        digest = hashlib.sha256()
        with part.source.open("rb") as source:
            archive.add_stored(part.name, source, digest.update)
        written = digest.hexdigest()
    else:
        content = part.source.read_bytes()
        written = hashlib.sha256(content).hexdigest()
        archive.add(part.name, content)
    if written != part.sha256:
        wrong = "the file changed while it was packaged"
        raise ServiceError(Fault(shown(part.source), wrong, "Package again when it is at rest"))
