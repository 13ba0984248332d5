"""Where the files of each role lie, and in which language they are."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cloudservice import names, project, spelling
from cloudservice.errors import ServiceError
from cloudservice.project import Listing
from cloudservice.service import Role, Source

_PYTHON = ".pyproj"
_BY_ENDING = {".py": "Python", ".cs": ".NET", ".vb": ".NET", ".asax": ".NET", ".php": "PHP"}
_BY_NAME = {"requirements.txt": "Python", "package.json": "Node.js"}


def find(folder: Path, roles: Iterable[Role]) -> dict[str, Source]:
    """The source of each role: the project that a .ccproj refers to, else `roles/<name>`, else `<name>`.

    A role whose name cannot be that of a folder has none. ServiceError if the .ccproj is no project.
    """
    cloud_project = project.find(folder)
    refers = () if cloud_project is None else project.references(cloud_project)
    projects = {one.role.lower(): one.project for one in refers}
    return {role.name: _source(folder, role, projects) for role in roles if names.is_name(role.name)}


def why_not_packaged(role: Role, source: Source) -> str | None:
    """What keeps rolepack from packaging the role; None if nothing does."""
    if source.language == ".NET" or role.assembly is not None:
        return "it is a .NET role, which has to be built by its own tools"
    return None


def why_not_run(role: Role, source: Source) -> str | None:
    """What keeps rolepack from running the role here; None if nothing does."""
    if role.kind == "web" and source.language in {"Node.js", "PHP"}:
        return f"it is a web role in {source.language}, and only Python sites run here"
    if role.kind == "web" and not any(endpoint.protocol in {"http", "https"} for endpoint in role.endpoints):
        return "it is a web role without an http endpoint"
    return why_not_packaged(role, source)


def listing_of(source: Source) -> Listing | None:
    """The files that the role's project lists, if it is a Python project that does; ServiceError if it is none."""
    if not project.is_python(source.project):
        return None
    listing = project.listing(source.project)
    return listing if listing.paths or listing.items else None


def _source(folder: Path, role: Role, projects: Mapping[str, Path]) -> Source:
    named = projects.get(role.name.lower())
    place = named.parent if named is not None else _place(folder, role.name)
    there = sorted(os.listdir(place)) if place.is_dir() else []
    found = named or _project(place, there)
    if role.assembly is not None:
        return Source(place, found, ".NET")
    language = project.LANGUAGES.get(found.suffix.lower(), "") if found is not None else ""
    if not language or (named is None and _is_python(role)):
        language = _language(place, role, there)
    return Source(place, found, language, _startup(found) if language == "Python" else "")


def _project(place: Path, there: Iterable[str]) -> Path | None:
    """The project that describes a role's folder: the Python one, if there are several."""
    found = sorted(
        (name for name in there if _ending(name) in project.LANGUAGES), key=lambda name: _ending(name) != _PYTHON
    )
    return place / found[0] if found else None


def _startup(found: Path | None) -> str:
    """The program that a Python project starts; empty if it cannot be read, which is told elsewhere."""
    if project.is_python(found):
        with contextlib.suppress(ServiceError):
            return project.startup_file(found)
    return ""


def _place(folder: Path, role: str) -> Path:
    usual = spelling.find(folder, f"roles/{role}")
    if usual.is_dir():
        return usual
    beside = spelling.find(folder, role)
    return beside if beside.is_dir() else folder / "roles" / role


def _language(place: Path, role: Role, there: Iterable[str]) -> str:
    """The first sign of a language: how the role starts, what files there are, what its web.config runs."""
    if _is_python(role):
        return "Python"
    signs = [_BY_NAME.get(name.lower()) or _BY_ENDING.get(_ending(name)) for name in there]
    found = {sign for sign in signs if sign}
    for language in ("Python", ".NET", "Node.js", "PHP"):
        if language in found:
            return language
    config = spelling.find(place, "web.config")
    if config.is_file() and b"WSGI_HANDLER" in config.read_bytes():
        return "Python"
    return ""


def _is_python(role: Role) -> bool:
    return ".py" in (role.entry_point or "").lower()


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - a Path costs more than all the rest of this module
