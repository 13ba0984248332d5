"""package.xml: which parts a bundle has, with their hashes, and which part each file of each role is.

Source: the published grammar of the 2012-03-15 package format, and of the Open Packaging Conventions around it.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from cloudservice import location, markup, rolemodel

NAME = "package.xml"
TYPES = "[Content_Types].xml"
RELATIONSHIPS = "_rels/.rels"
DEFINITION = f"ServiceDefinition/{location.DEFINITION}"
CONTENT = "LocalContent/"
ROLES = "Roles/"
_NAMESPACE = "http://schemas.microsoft.com/windowsazure"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_RELATIONSHIP = f"{_NAMESPACE}/PackageDefinition/Version/2012/03/15"
_OPC = "http://schemas.openxmlformats.org/package/2006"
_OCTETS = "application/octet-stream"
_EXTENSIONS = {
    "csdef": _OCTETS,
    "xml": _OCTETS,
    "json": _OCTETS,
    "rels": "application/vnd.openxmlformats-package.relationships+xml",
}
_EPOCH = "1980-01-01T00:00:00Z"
"""The first date that a zip can hold; real dates would make every bundle different."""
_BOM = b"\xef\xbb\xbf"


class ManifestError(Exception):
    """Why a text is no manifest."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A part as the manifest has it: its length in bytes and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    r"""The parts by name, and for each role the part of each file, by its path such as `\approot\worker.py`."""

    parts: Mapping[str, Listed]
    roles: Mapping[str, Mapping[str, str]]


def render(manifest: Manifest) -> bytes:
    """The text of package.xml."""
    root = ElementTree.Element("PackageDefinition", {"xmlns:i": _INSTANCE, "xmlns": _NAMESPACE})
    metadata = ElementTree.SubElement(ElementTree.SubElement(root, "PackageMetaData"), "KeyValuePair")
    _elements(metadata, {"Key": f"{_NAMESPACE}/ProductVersion/", "Value": rolemodel.VERSION})
    contents = ElementTree.SubElement(root, "PackageContents")
    for name, part in manifest.parts.items():
        content = ElementTree.SubElement(contents, "ContentDefinition")
        _elements(content, {"Name": name})
        description = {
            "LengthInBytes": str(part.size),
            "IntegrityCheckHashAlgortihm": "Sha256",  # the format's own spelling
            "IntegrityCheckHash": base64.b64encode(bytes.fromhex(part.sha256)).decode(),
            "DataStorePath": name,
        }
        _elements(ElementTree.SubElement(content, "ContentDescription"), description)
    layouts = ElementTree.SubElement(root, "PackageLayouts")
    for role, files in manifest.roles.items():
        layout = ElementTree.SubElement(layouts, "LayoutDefinition")
        _elements(layout, {"Name": f"{ROLES}{role}"})
        described = ElementTree.SubElement(layout, "LayoutDescription")
        for path, name in files.items():
            definition = ElementTree.SubElement(described, "FileDefinition")
            _elements(definition, {"FilePath": path})
            times = {"CreatedTimeUtc": _EPOCH, "ModifiedTimeUtc": _EPOCH, "ReadOnly": "false"}
            _elements(ElementTree.SubElement(definition, "FileDescription"), {"DataContentReference": name, **times})
    return _BOM + markup.render(root)


def parse(content: bytes) -> Manifest:
    """What a package.xml says, whoever wrote it; ManifestError if it is none."""
    try:
        text = content.decode("utf-8-sig")
        if "<!DOCTYPE" in text:
            message = "it has a DOCTYPE, which none needs"
            raise ManifestError(message)
        root = ElementTree.fromstring(text)  # noqa: S314 - without a DOCTYPE there are no entities
        parts = {
            _text(each, "Name"): Listed(
                int(_text(each, "ContentDescription", "LengthInBytes")),
                _hash(each),
            )
            for each in root.iterfind(_path("PackageContents", "ContentDefinition"))
        }
        roles = {
            _text(layout, "Name").removeprefix(ROLES): {
                _text(file, "FilePath"): _text(file, "FileDescription", "DataContentReference")
                for file in layout.iterfind(_path("LayoutDescription", "FileDefinition"))
            }
            for layout in root.iterfind(_path("PackageLayouts", "LayoutDefinition"))
            if _text(layout, "Name").startswith(ROLES)
        }
    except (ElementTree.ParseError, ValueError) as error:
        raise ManifestError(str(error)) from None
    unknown = next((name for files in roles.values() for name in files.values() if name not in parts), None)
    if unknown is not None:
        message = f"a file refers to {unknown}, which it does not list"
        raise ManifestError(message)
    return Manifest(parts, roles)


def content_types(names: Iterable[str]) -> bytes:
    """What kind each part is; a reader of the Open Packaging Conventions opens nothing without it."""
    root = ElementTree.Element("Types", xmlns=f"{_OPC}/content-types")
    for extension, kind in _EXTENSIONS.items():
        ElementTree.SubElement(root, "Default", Extension=extension, ContentType=kind)
    for name in names:
        if name.startswith(CONTENT):
            ElementTree.SubElement(root, "Override", PartName=f"/{name}", ContentType=_OCTETS)
    return markup.render(root)


def relationships() -> bytes:
    """Where the manifest is."""
    root = ElementTree.Element("Relationships", xmlns=f"{_OPC}/relationships")
    # The format says External although the part lies inside.
    attributes = {"Type": _RELATIONSHIP, "Target": f"/{NAME}", "TargetMode": "External", "Id": "R0000000000000001"}
    ElementTree.SubElement(root, "Relationship", attributes)
    return markup.render(root)


def _path(*names: str) -> str:
    return "/".join(f"{{{_NAMESPACE}}}{name}" for name in names)


def _text(element: ElementTree.Element, *names: str) -> str:
    text = element.findtext(_path(*names))
    if not text:
        message = f"{names[-1]} is missing"
        raise ManifestError(message)
    return text


def _hash(content: ElementTree.Element) -> str:
    """The SHA-256 of a part in hexadecimal."""
    if _text(content, "ContentDescription", "IntegrityCheckHashAlgortihm") != "Sha256":
        message = f"{_text(content, 'Name')} has no SHA-256"
        raise ManifestError(message)
    try:
        return base64.b64decode(_text(content, "ContentDescription", "IntegrityCheckHash"), validate=True).hex()
    except binascii.Error as error:
        raise ManifestError(str(error)) from None


def _elements(parent: ElementTree.Element, values: Mapping[str, str]) -> None:
    for name, text in values.items():
        ElementTree.SubElement(parent, name).text = text
