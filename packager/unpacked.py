"""A bundle as the folder of a service that can run: its roles, its definition, a configuration."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

from cloudservice import changes, folder, location, lock, unpackaged
from cloudservice.appservice import Hosting
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import sha256_of, shown, whole_folder, write_whole
from cloudservice.tells import Report
from packager import bundle, locks, opened, requirements, target
from packager.opened import Opened
from packager.policy import Need
from packager.requirements import Asked, Line
from packager.wheelhouse import FOLDER

_LOCK = ".lock"
_ROLES, _SITES, _APPROOT = "roles", "sites", "approot"


def unpack(path: Path, place: Path, configuration: Path, report: Report) -> Path:
    """The folder of a service below `place`, made of a bundle and a configuration; made once for each bundle."""
    root = place / sha256_of(path)[:16]
    with lock.wait(place / _LOCK, "unpacking"), opened.opened(path) as found:
        if not root.is_dir():
            with whole_folder(root) as made:
                for role in found.manifest.roles:
                    _lay(found, role, made, report)
                write_whole(made / location.DEFINITION, _definition(found, made))
        stripped = changes.only_roles(configuration, configuration.read_bytes(), found.manifest.roles)
        write_whole(root / configuration.name, stripped)  # never absent: another command may be about to read it
        for old in folder.configurations(root).values():
            if old.name != configuration.name:
                old.unlink()
    return root


def prune(root: Path) -> None:
    """Remove the bundles that were unpacked beside `root` before; none may be running. One that has keeps its logs."""
    for old in root.parent.iterdir():
        if old.is_dir() and old != root and not (old / ".rolepack").exists():
            shutil.rmtree(old, ignore_errors=True)


def need(role: Path) -> tuple[Need, dict[str, str]] | None:
    """What an unpacked role needs, and the versions in its bundle; None if it has no lock."""
    path = role / bundle.LOCK
    if not path.is_file():
        return None
    platform, python = locks.shipped_for(path.read_text("utf-8", "replace"))
    pinned = requirements.read(path).lines
    if not python or not all(line.name and line.requirement.startswith(f"{line.name}==") for line in pinned):
        raise ServiceError(Fault(shown(path), "it is no lock of rolepack's", "Make the bundle again"))
    # A wheel for this machine has another hash than the one in the bundle.
    lines = tuple(Line(line.file, line.number, line.requirement) for line in pinned)
    shelf = tuple(sorted((role / FOLDER).glob("*.whl")))
    fitting = target.parse(platform, python) if platform in target.PLATFORMS else target.nearest_here(python)
    versions = dict(line.requirement.split("==", 1) for line in lines)
    return Need(Asked(path, lines, shelf=shelf), fitting), versions


def hosting(role: Path) -> Hosting | None:
    """How App Service hosts an unpacked role, if it does."""
    path = role / bundle.HOSTING
    if not path.is_file():
        return None
    try:
        return Hosting(str(json.loads(path.read_text(encoding="utf-8"))["startup_command"]))
    except (ValueError, KeyError, TypeError):
        raise ServiceError(Fault(shown(path), "it says nothing of hosting", "Make the bundle again")) from None


def _lay(found: Opened, role: str, made: Path, report: Report) -> None:
    """Put a role's own files and its sites where a service has them."""
    root = made / ".role"
    opened.extract(found, role, root, report)
    (made / _ROLES).mkdir(exist_ok=True)
    (root / _APPROOT).mkdir(exist_ok=True)
    (root / _APPROOT).rename(made / _ROLES / role)
    if (root / "sitesroot").is_dir():
        (made / _SITES).mkdir(exist_ok=True)
        (root / "sitesroot").rename(made / _SITES / role)
    shutil.rmtree(root)


def _definition(found: Opened, made: Path) -> bytes:
    text = found.definition().decode("utf-8-sig", "replace")
    roles = found.manifest.roles
    models = {role: found.text(role, "\\RoleModel.xml") for role in roles}
    if any("<!DOCTYPE" in one for one in (text, *models.values())):
        raise ServiceError(Fault(shown(found.path), "a document in it has a DOCTYPE", "Do not use it"))
    folders = {(role, _APPROOT): f"{_ROLES}/{role}" for role in roles}
    for role in roles:
        for site in (made / _SITES / role).glob("*"):
            folders[role, f"sitesroot\\{site.name}"] = f"{_SITES}/{role}/{site.name}"
    try:
        return unpackaged.render(text, models, folders)
    except ElementTree.ParseError as error:
        wrong = f"its definition, or a RoleModel.xml in it, is no XML: {error}"
        raise ServiceError(Fault(shown(found.path), wrong, "Make the bundle again")) from None
