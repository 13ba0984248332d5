"""The bundle: one .cspkg in the documented layout, the same bytes for the same input.

Source: the published grammar of the 2012-03-15 package format. The parts that only Azure's own fabric reads (service
model, named streams, Microsoft's role runtime) are left out: the runtime may not be shipped by anyone else.
"""

import base64
import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO
from xml.etree import ElementTree

from cloudservice import folder, location, rolemodel, sources
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, whole
from cloudservice.project import Listing
from cloudservice.service import Role, Service, Source
from packager import contents, interpreter, locks
from packager.progress import Report
from packager.wheelhouse import Wheelhouse

WHEELHOUSE = "wheelhouse"
LOCK = "requirements.lock"
_NAMESPACE = "http://schemas.microsoft.com/windowsazure"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_RELATIONSHIP = f"{_NAMESPACE}/PackageDefinition/Version/2012/03/15"
_OPC = "http://schemas.openxmlformats.org/package/2006"
_OCTETS = "application/octet-stream"
_EPOCH = "1980-01-01T00:00:00Z"
"""The first date that a zip can hold; real dates would make every bundle different."""


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
    layouts: Mapping[str, Mapping[str, str]]

    @property
    def size(self) -> int:
        """The bytes of all parts, before compression."""
        return sum(part.size for part in self.parts.values())


def plan(root: Path, service: Service, wheelhouse: Wheelhouse, python: Path | None = None) -> Bundle:
    """Hash everything that belongs to the service in folder `root`; nothing is written.

    `python` is a Python package for hosts that have none, which each role in Python gets.
    """
    definition = location.definition_file(root).read_bytes()
    first = _part(definition, f"ServiceDefinition/{location.DEFINITION}")
    parts = {first.name: first}
    layouts: dict[str, dict[str, str]] = {}
    faults: list[Fault] = []
    reasons = left_out(service)
    if len(reasons) == len(service.roles):
        told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        wrong = f"no role can be packaged ({told})"
        raise ServiceError(Fault(f"service '{service.name}'", wrong, "Add one that can"))
    for role in (role for role in service.roles if role.name not in reasons):
        layout = layouts.setdefault(f"Roles/{role.name}", {})
        try:
            source = service.sources[role.name]
            for path, part in chain(_role_files(root, role, source, wheelhouse), _python_files(source, python)):
                parts.setdefault(part.name, part)
                layout["\\" + str(path).replace("/", "\\")] = part.name
        except ServiceError as error:
            faults += error.faults
    if faults:
        raise ServiceError(*faults)
    return Bundle(parts, layouts)


def write(path: Path, bundle: Bundle, report: Report) -> None:
    """Write the bundle to `path`; it appears whole or not at all."""
    heads = {
        "[Content_Types].xml": _content_types(bundle),
        "_rels/.rels": _relationships(),
        "package.xml": _package_definition(bundle),
    }
    with whole(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in heads.items():
            _write_part(archive, _part(content, name))
        done = 0
        for part in bundle.parts.values():
            _write_part(archive, part)
            done += part.size
            report(f"Writing {path.name}", done, bundle.size)


def left_out(service: Service) -> dict[str, str]:
    """Why roles do not go into a bundle, by name."""
    reasons = {role.name: sources.why_not_packaged(role, service.sources[role.name]) for role in service.roles}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _role_files(root: Path, role: Role, source: Source, wheelhouse: Wheelhouse) -> Iterable[tuple[PurePosixPath, Part]]:
    """Every file of a role instance's root, with its content."""
    sites = {}
    for number, (site, place) in enumerate(folder.site_folders(root, role, source).items()):
        own = place.resolve() != source.folder.resolve()
        sites[site] = f"sitesroot\\{number}" if own else "approot"
        if own:
            yield from _folder_files(PurePosixPath("sitesroot", str(number)), place)
    yield PurePosixPath("RoleModel.xml"), _part(rolemodel.render(role, sites))
    approot = PurePosixPath("approot")
    yield from _folder_files(approot, source.folder, sources.listing_of(source))
    if role.name in wheelhouse.roles:
        _check_own_names(source.folder)
        yield approot / LOCK, _part(locks.shipped(wheelhouse.roles[role.name], role.name).encode())
        for wheel in wheelhouse.wheels_of(role.name):
            size = wheel.path.stat().st_size
            part = Part(_content_name(wheel.sha256), wheel.path, wheel.sha256, size, compressed=True)
            yield approot / WHEELHOUSE / wheel.path.name, part


def _python_files(source: Source, python: Path | None) -> Iterable[tuple[PurePosixPath, Part]]:
    """The Python package of a role, where ConfigureCloudService.ps1 looks for it."""
    if python is None or source.language != "Python":
        return
    there = [path for path in (source.folder / "bin").glob("*") if interpreter.is_package_name(path.name)]
    if there:
        wrong = "the bundle is to bring another Python package"
        raise ServiceError(*(Fault(shown(path), wrong, "Remove it, or leave --with-python out") for path in there))
    yield PurePosixPath("approot", "bin", f"python{python.suffix.lower()}"), _file_part(python, compressed=True)


def _check_own_names(role: Path) -> None:
    """What the bundle adds to a role's folder must not be there, in any case."""
    taken = [path for path in sorted(role.iterdir()) if path.name.lower() in {WHEELHOUSE, LOCK}]
    if taken:
        wrong = "the bundle puts its own there"
        raise ServiceError(*(Fault(shown(path), wrong, "Rename it, or remove it") for path in taken))


def _folder_files(
    place: PurePosixPath, root: Path, listing: Listing | None = None
) -> Iterable[tuple[PurePosixPath, Part]]:
    for name, path in contents.files(root, listing):
        yield place / name, _file_part(path)


def _file_part(path: Path, *, compressed: bool = False) -> Part:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Part(_content_name(sha256), path, sha256, path.stat().st_size, compressed)


def _part(content: bytes, name: str | None = None) -> Part:
    sha256 = hashlib.sha256(content).hexdigest()
    return Part(name or _content_name(sha256), content, sha256, len(content))


def _content_name(sha256: str) -> str:
    """Content is named after itself, so that the same file in two roles is one part."""
    return f"LocalContent/{sha256[:32]}"


def _write_part(archive: zipfile.ZipFile, part: Part) -> None:
    info = zipfile.ZipInfo(part.name)
    info.create_system = 0
    info.compress_type = zipfile.ZIP_STORED if part.compressed else zipfile.ZIP_DEFLATED
    info.file_size = part.size
    with archive.open(info, "w") as target:
        if isinstance(part.source, bytes):
            target.write(part.source)
            return
        with part.source.open("rb") as source:
            digest = _copy(source, target)
    if digest != part.sha256:
        wrong = "the file changed while it was packaged"
        raise ServiceError(Fault(shown(part.source), wrong, "Package again when it is at rest"))


def _copy(source: BinaryIO, target: IO[bytes]) -> str:
    """Copy everything and return the SHA-256 of it."""
    digest = hashlib.sha256()
    while chunk := source.read(1 << 17):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _content_types(bundle: Bundle) -> bytes:
    root = ElementTree.Element("Types", xmlns=f"{_OPC}/content-types")
    relationships = "application/vnd.openxmlformats-package.relationships+xml"
    for extension, kind in {"csdef": _OCTETS, "xml": _OCTETS, "rels": relationships}.items():
        ElementTree.SubElement(root, "Default", Extension=extension, ContentType=kind)
    for name in bundle.parts:
        if name.startswith("LocalContent/"):
            ElementTree.SubElement(root, "Override", PartName=f"/{name}", ContentType=_OCTETS)
    return _xml(root)


def _relationships() -> bytes:
    root = ElementTree.Element("Relationships", xmlns=f"{_OPC}/relationships")
    # The format says External although the part lies inside.
    attributes = {"Type": _RELATIONSHIP, "Target": "/package.xml", "TargetMode": "External", "Id": "R0000000000000001"}
    ElementTree.SubElement(root, "Relationship", attributes)
    return _xml(root)


def _package_definition(bundle: Bundle) -> bytes:
    attributes = {"xmlns:i": _INSTANCE, "xmlns": _NAMESPACE}
    root = ElementTree.Element("PackageDefinition", attributes)
    metadata = ElementTree.SubElement(root, "PackageMetaData")
    _elements(
        ElementTree.SubElement(metadata, "KeyValuePair"),
        {"Key": f"{_NAMESPACE}/ProductVersion/", "Value": rolemodel.VERSION},
    )
    parts = ElementTree.SubElement(root, "PackageContents")
    for part in bundle.parts.values():
        content = ElementTree.SubElement(parts, "ContentDefinition")
        _elements(content, {"Name": part.name})
        description = {
            "LengthInBytes": str(part.size),
            "IntegrityCheckHashAlgortihm": "Sha256",  # the format's own spelling
            "IntegrityCheckHash": base64.b64encode(bytes.fromhex(part.sha256)).decode(),
            "DataStorePath": part.name,
        }
        _elements(ElementTree.SubElement(content, "ContentDescription"), description)
    layouts = ElementTree.SubElement(root, "PackageLayouts")
    for name, files in bundle.layouts.items():
        layout = ElementTree.SubElement(layouts, "LayoutDefinition")
        _elements(layout, {"Name": name})
        described = ElementTree.SubElement(layout, "LayoutDescription")
        for path, content_name in files.items():
            _file_definition(described, path, content_name)
    return b"\xef\xbb\xbf" + _xml(root)


def _file_definition(parent: ElementTree.Element, path: str, content_name: str) -> None:
    definition = ElementTree.SubElement(parent, "FileDefinition")
    _elements(definition, {"FilePath": path})
    description = {
        "DataContentReference": content_name,
        "CreatedTimeUtc": _EPOCH,
        "ModifiedTimeUtc": _EPOCH,
        "ReadOnly": "false",
    }
    _elements(ElementTree.SubElement(definition, "FileDescription"), description)


def _elements(parent: ElementTree.Element, values: Mapping[str, str]) -> None:
    for name, text in values.items():
        ElementTree.SubElement(parent, name).text = text


def _xml(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()
