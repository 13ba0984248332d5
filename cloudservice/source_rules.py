"""The rules that join a definition with the files on disk: role folders, sites, contents."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path, PureWindowsPath

from cloudservice import command_rules, document, project, rules, sources, spelling
from cloudservice.definition import Definition, virtual_elements
from cloudservice.document import Document
from cloudservice.element import Element
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.service import Role, Source

_CONFIGS = ("web.config", "web.cloud.config", "web.emulator.config")
"""ConfigureCloudService.ps1 takes one of the latter two for web.config, where there is one."""
_MOST_STRANGERS = 50
"""References to roles that are not there of which each is told."""
_MOST_DIRECTORIES = 1000
"""Far above any real role; each takes the system some time."""
_OLD_CONFIG = "http://schemas.microsoft.com/.NetConfiguration/v2.0"
_HANDLER = "WSGI_HANDLER"


def check(folder: Path, defined: Definition, found: Mapping[str, Source]) -> list[Fault]:
    """Note what is missing on disk, and which roles cannot be packaged or run here.

    What is wrong in other files than the definition is returned.
    """
    here = folder.resolve()
    faults = list(_references(folder, defined)) if found else []
    for role, element in zip(defined.roles, defined.elements, strict=True):
        if role.name not in found:
            continue
        if defined.document.is_hopeless:
            break
        source = found[role.name]
        _obstacles(defined.document, role, element, source)
        if sources.why_not_packaged(role, source) is None:
            faults += _check_role(here, defined.document, role, element, source)
    return faults


def _references(folder: Path, defined: Definition) -> Iterator[Fault]:
    """The cloud service project, if there is one, refers to roles that there are."""
    cloud_project = project.find(folder)
    if cloud_project is None:
        return
    roles = {role.name.lower(): role.name for role in defined.roles}
    strangers = (one for one in project.references(cloud_project) if one.role.lower() not in roles)
    for one in islice(strangers, _MOST_STRANGERS):
        meant = defined.document.meant(one.role, roles.values())
        wrong = f"it refers to a role '{one.role}', which is not in the definition"
        remedy = f"Write '{meant}', if that was meant; otherwise remove the reference" if meant else "Remove it"
        level = rules.level("project-role")
        yield Fault(shown(cloud_project), wrong, remedy, one.line, "project-role", level)


def physical_directory(folder: Path, written: str) -> Path:
    """The folder that a physicalDirectory means, relative to the definition."""
    return _place(folder.resolve(), written)


def _place(here: Path, written: str) -> Path:
    """The same from a folder without links."""
    return spelling.find(here, written.replace("\\", "/"))


def is_near(folder: Path, place: Path) -> bool:
    """Whether a place lies in or beside the service, or in its repository."""
    return _is_near(folder.resolve(), place.resolve())


def _is_near(here: Path, there: Path) -> bool:
    """The same of paths without links."""
    if there.is_relative_to(here.parent):
        return True
    repository = next((above for above in here.parents if (above / ".git").exists()), None)
    return repository is not None and there.is_relative_to(repository)


def _obstacles(read: Document, role: Role, element: Element, source: Source) -> None:
    not_packaged, not_run = sources.why_not_packaged(role, source), sources.why_not_run(role, source)
    if not_packaged:
        wrong = f"role '{role.name}' is neither packaged nor run here: {not_packaged}"
        read.fault(element, "role-left-out", wrong, "Deploy it apart; the other roles do not depend on this")
        return
    if not_run:
        wrong = f"role '{role.name}' does not run here: {not_run}"
        read.fault(element, "role-left-out", wrong, "It is packaged with the others; run the others without it")
    for site in element.all("Sites", "Site"):
        if virtual_elements(site):
            wrong = f"what lies below {site.label} is neither packaged nor served here"
            read.fault(site, "part-left-out", wrong, "Put it into the site's folder, or deploy it apart")
    if element.first("Contents", "Content"):
        wrong = f"the Contents of role '{role.name}' are not packaged here"
        read.fault(element, "part-left-out", wrong, "Put the files into the role's folder")


def _check_role(here: Path, read: Document, role: Role, element: Element, source: Source) -> list[Fault]:
    faults: list[Fault] = []
    if role.kind == "worker" and not role.entry_point and not element.first("Runtime", "EntryPoint"):
        wrong = f"worker role '{role.name}' has no program to run"
        remedy = f"Add it with `rolepack add-support-files {role.name}`, or a Runtime/EntryPoint by hand"
        read.fault(element, "no-program", wrong, remedy)
    if not source.folder.is_dir():
        _no_folder(here, read, role, element, source)
    elif here.is_relative_to(real := source.folder.resolve()):
        wrong = f"the folder of role '{role.name}' is {shown(source.folder)}, which holds the service itself"
        read.fault(element, "far-folder", wrong, "Give the role a folder of its own")
    elif not _is_near(here, real):
        wrong = f"the folder of role '{role.name}' is {shown(source.folder)}, which is not in or beside the service"
        read.fault(element, "far-folder", wrong, "Move it there, and correct the project that names it")
    else:
        faults += command_rules.check(read, role, element, source)
        faults += _web_config(here, read, role, element, source)
    _directories(here, read, element)
    for content in element.all("Contents", "Content"):
        _destination(read, content)
    return faults


def _no_folder(here: Path, read: Document, role: Role, element: Element, source: Source) -> None:
    cloud_project = project.find(here)
    wrong = f"role '{role.name}' has no folder {shown(source.folder)}"
    remedy = "Create it, or remove the role from the definition"
    if cloud_project is not None and source.project is not None:
        remedy = f"Correct the path in {shown(cloud_project)}, or create it"
    elif cloud_project is not None:
        wrong = f"{wrong}, and {shown(cloud_project)} does not name it"
        remedy = "Let a ProjectReference there have its RoleName, or create the folder"
    read.fault(element, "no-folder", wrong, remedy)


def _web_config(here: Path, read: Document, role: Role, element: Element, source: Source) -> list[Fault]:
    """A Python site names its application in web.config, or lets IIS start a server."""
    if role.kind != "web" or source.language != "Python":
        return []
    written = next((site.physical_directory for site in role.sites[:1]), None)
    place = source.folder if written is None else _place(here, written)
    names_there = spelling.names(place)
    there = [place / names_there[name] for name in _CONFIGS if name in names_there]
    if len(there) == len(_CONFIGS):  # each of the others takes the place of web.config
        del there[0]
    if not there:
        wrong = f"the site of role '{role.name}' has no web.config in {shown(place)}"
        remedy = (
            f"Add one that names the application in WSGI_HANDLER; `rolepack add-support-files {role.name}` writes one"
        )
        read.fault(element, "no-web-config", wrong, remedy)
    faults: list[Fault] = []
    for path in there:
        try:
            config = document.load(path, "configuration", "", _OLD_CONFIG)
        except ServiceError as error:
            faults += error.faults
            continue
        if not _names_application(config.root) and not any(each.name == _HANDLER for each in role.environment):
            wrong = f"its appSettings do not say which application role '{role.name}' serves"
            remedy = f'Add <add key="{_HANDLER}" value="app.wsgi_app" /> to them: the module and the object in it'
            config.fault(config.root, "no-handler", wrong, remedy)
        faults += config.faults
    return faults


def _names_application(config: Element) -> bool:
    """Whether it does, or leaves it to another file or to a server that it has IIS start."""
    settings = config.all("appSettings", "add")
    named = any(each.get("key", "").upper() == _HANDLER and each.get("value") for each in settings)
    elsewhere = any(each.get("configSource") or each.get("file") for each in config.all("appSettings"))
    servers = (next(config.descendants(name), None) for name in ("httpPlatform", "aspNetCore"))
    return named or elsewhere or any(servers)


def _directories(here: Path, read: Document, role: Element) -> None:
    """The folders that a role names are there, near, and do not hold the service itself."""
    right: set[str] = set()
    for element, attribute in _naming(role):
        written = element.get(attribute, "")
        if len(right) > _MOST_DIRECTORIES:
            wrong = f"{role.label} names more than {_MOST_DIRECTORIES} folders"
            read.fault(role, "too-large", wrong, "Name folders that hold several of them")
            return
        if read.is_hopeless:
            return
        if written and written not in right and _directory(here, read, element, attribute):
            right.add(written)


def _naming(role: Element) -> Iterator[tuple[Element, str]]:
    """The elements of a role that name a folder, and the attribute that does."""
    for site in role.all("Sites", "Site"):
        yield site, "physicalDirectory"
        for name in ("VirtualApplication", "VirtualDirectory"):
            yield from ((each, "physicalDirectory") for each in site.descendants(name))
    for source in role.all("Contents", "Content", "SourceDirectory"):
        yield source, "path"


def _directory(here: Path, read: Document, element: Element, attribute: str) -> bool:
    """Whether the folder that an element names is right; what is wrong with it is noted."""
    written = element.get(attribute, "")
    if attribute == "path" and ("%" in written or PureWindowsPath(written).anchor):
        return True  # known only where it is packaged
    place = _place(here, written)
    has = f"{element.label} has the {attribute} '{written}', which"
    if not place.is_dir():
        wrong, remedy = f"{has} is no folder", "Create it, or correct the path; it is relative to the definition"
        read.fault(element, "no-directory", wrong, remedy)
    elif here.is_relative_to(real := place.resolve()):
        read.fault(element, "far-directory", f"{has} holds the service itself", "Name a folder of its own")
    elif not _is_near(here, real):
        wrong, remedy = f"{has} is not in or beside the service", "Put its files in a folder there"
        read.fault(element, "far-directory", wrong, remedy)
    else:
        return True
    return False


def _destination(read: Document, content: Element) -> None:
    destination = PureWindowsPath(content.get("destination", ""))
    if destination.anchor or ".." in destination.parts:
        wrong = f"Content has the destination '{content.get('destination')}', which is not below the role's folder"
        read.fault(content, "content-destination", wrong, "Write a relative path that stays below it")
