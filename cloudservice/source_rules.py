"""The rules that join a definition with the files on disk: role folders, command lines, sites, contents."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath

from cloudservice import commandline, project, sources, spelling
from cloudservice.definition import Definition, virtual_elements
from cloudservice.document import Document
from cloudservice.element import Element
from cloudservice.files import shown
from cloudservice.project import Listing
from cloudservice.service import Role, Source


def check(folder: Path, defined: Definition, found: Mapping[str, Source]) -> None:
    """Note what is missing on disk, and which roles cannot be packaged or run here."""
    for role, element in zip(defined.roles, defined.elements, strict=True):
        if role.name not in found:
            continue
        if defined.document.is_hopeless:
            return
        source = found[role.name]
        _obstacles(defined.document, role, element, source)
        if sources.why_not_packaged(role, source) is None:
            _check_role(folder, defined.document, role, element, source)


def physical_directory(folder: Path, written: str) -> Path:
    """The folder that a physicalDirectory means, relative to the definition."""
    return spelling.find(folder.resolve(), written.replace("\\", "/"))


def _obstacles(read: Document, role: Role, element: Element, source: Source) -> None:
    not_packaged, not_run = sources.why_not_packaged(role, source), sources.why_not_run(role, source)
    if not_packaged:
        wrong = f"role '{role.name}' is neither packaged nor run here: {not_packaged}"
        read.fault(element, "role-left-out", wrong, "Deploy it apart; the other roles do not depend on this")
    elif not_run:
        wrong = f"role '{role.name}' does not run here: {not_run}"
        read.fault(element, "role-left-out", wrong, "It is packaged with the others; run the others without it")


def _check_role(folder: Path, read: Document, role: Role, element: Element, source: Source) -> None:
    if role.kind == "worker" and not role.entry_point:
        wrong = f"worker role '{role.name}' has no program to run"
        read.fault(element, "no-program", wrong, "Add Runtime/EntryPoint/ProgramEntryPoint with its command line")
    if not source.folder.is_dir():
        wrong = f"role '{role.name}' has no folder {shown(source.folder)}"
        read.fault(element, "no-folder", wrong, "Create it, or remove the role from the definition")
    elif not _is_near(folder, source.folder):
        wrong = f"the folder of role '{role.name}' is {shown(source.folder)}, which is not in or beside the service"
        read.fault(element, "far-folder", wrong, "Move it there, and correct the project that names it")
    else:
        _command_lines(read, role, element, source)
    for site in element.all("Sites", "Site"):
        _directories(folder, read, site)
    for content in element.all("Contents", "Content"):
        _content(folder, read, content)


def _command_lines(read: Document, role: Role, element: Element, source: Source) -> None:
    """What startup tasks and the entry point name is there, and in the project's list if it has one."""
    listed = listing_of(source)
    for where, base in _commands(role, element, source.folder):
        if read.is_hopeless:
            return
        for name, path in commandline.named_files(where.get("commandLine", ""), source.folder, base).items():
            if path is None:
                wrong = f"the command line of role '{role.name}' names {name}, which is not in {shown(source.folder)}"
                remedy = "Add the file (is bin/ git-ignored?), or correct the command line"
                read.fault(where, "missing-file", wrong, remedy)
            elif listed and not listed.holds(path.relative_to(source.folder).as_posix()):
                wrong = f"the command line of role '{role.name}' names {name}, which is not in its project"
                remedy = f"Add it to {shown(source.project or source.folder)} as Content, or it is not packaged"
                read.fault(where, "not-in-project", wrong, remedy)


def _commands(role: Role, element: Element, root: Path) -> Iterator[tuple[Element, Path]]:
    """The elements with a command line, and the folder that it starts in."""
    base = spelling.find(root, "bin") if role.kind == "web" else root
    for task in element.all("Startup", "Task"):
        yield task, base
    for entry in element.all("Runtime", "EntryPoint", "ProgramEntryPoint"):
        yield entry, root


def listing_of(source: Source) -> Listing | None:
    """The files that the role's project lists, if it is a Python project that does; ServiceError if it is none."""
    if source.project is None or source.project.suffix.lower() != ".pyproj" or not source.project.is_file():
        return None
    listing = project.listing(source.project)
    return listing if listing.paths or listing.patterns else None


def _directories(folder: Path, read: Document, site: Element) -> None:
    """The folders of a site and of what lies below it: they are there, near, and do not hold the service itself."""
    written = site.get("physicalDirectory")
    if read.is_hopeless:
        return
    if written:
        place = physical_directory(folder, written)
        if not place.is_dir():
            wrong = f"{site.label} has the physicalDirectory '{written}', which is no folder"
            remedy = "Create it, or correct the path; it is relative to the definition"
            read.fault(site, "no-directory", wrong, remedy)
        elif not _is_near(folder, place):
            wrong = f"{site.label} has the physicalDirectory '{written}', which is not in or beside the service"
            read.fault(site, "far-directory", wrong, "Put the site's files in a folder of their own there")
    for below in virtual_elements(site):
        _directories(folder, read, below)


def _content(folder: Path, read: Document, content: Element) -> None:
    destination = PureWindowsPath(content.get("destination", ""))
    if destination.anchor or ".." in destination.parts:
        wrong = f"Content has the destination '{content.get('destination')}', which is not below the role's folder"
        read.fault(content, "content-destination", wrong, "Write a relative path that stays below it")
    for source in content.all("SourceDirectory"):
        written = source.get("path", "")
        elsewhere = "%" in written or PureWindowsPath(written).anchor  # known only where it is packaged
        if written and not elsewhere and not physical_directory(folder, written).is_dir():
            wrong = f"SourceDirectory has the path '{written}', which is no folder"
            remedy = "Create it, or correct the path; it is relative to the definition"
            read.fault(source, "no-directory", wrong, remedy)


def _is_near(folder: Path, place: Path) -> bool:
    """Whether a place lies in or beside the service, and does not hold it."""
    here, there = folder.resolve(), place.resolve()
    return there.is_relative_to(here.parent) and not here.is_relative_to(there)
