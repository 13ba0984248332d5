"""What a bundle says of itself, and its files laid down as a host does."""

import zipfile
from pathlib import Path
from xml.etree import ElementTree

NAMESPACE = "{http://schemas.microsoft.com/windowsazure}"


def manifest(archive: zipfile.ZipFile) -> ElementTree.Element:
    return ElementTree.fromstring(archive.read("package.xml"))


def layouts(archive: zipfile.ZipFile) -> dict[str, dict[str, str]]:
    """File path to part name, by layout."""
    return {
        str(layout.findtext(f"{NAMESPACE}Name")): {
            str(file.findtext(f"{NAMESPACE}FilePath")): str(file.findtext(f".//{NAMESPACE}DataContentReference"))
            for file in layout.iter(f"{NAMESPACE}FileDefinition")
        }
        for layout in manifest(archive).iter(f"{NAMESPACE}LayoutDefinition")
    }


def extract(bundle: Path, role: str, to: Path) -> None:
    """Lay a role of a bundle down as a host does, by the layout in package.xml."""
    with zipfile.ZipFile(bundle) as archive:
        for name, part in layouts(archive)[f"Roles/{role}"].items():
            path = to / name.strip("\\").replace("\\", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(part))
