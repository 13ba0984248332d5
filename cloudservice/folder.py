"""A service's folder on disk: found, read with every configuration, and checked as a whole."""

from collections.abc import Iterable
from pathlib import Path

from cloudservice import commandline, configuration, definition
from cloudservice.configuration import Configuration
from cloudservice.definition import Definition
from cloudservice.document import Document, Element
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.service import Role, Service

DEFINITION = "ServiceDefinition.csdef"
_PLUGIN = "Microsoft.WindowsAzure.Plugins."
"""Settings under this prefix come with an imported module, so that the definition does not list them."""


def find(start: Path) -> Path:
    """The nearest folder from `start` upwards that holds a service definition."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / DEFINITION).is_file():
            return folder
    remedy = "Change into a service's folder, give --service DIR, or make one with `rolepack new-service NAME`"
    raise ServiceError(Fault(shown(start), f"there is no {DEFINITION} here or in a folder above", remedy))


def role_folder(folder: Path, role: str) -> Path:
    """Where the sources of a role lie."""
    return folder / "roles" / role


def site_folders(folder: Path, role: Role) -> dict[str, Path]:
    """The folder of each site by its name; without a physicalDirectory it is the role's folder."""
    return {
        site.name: physical_directory(folder, site.physical_directory)
        if site.physical_directory is not None
        else role_folder(folder, role.name)
        for site in role.sites
    }


def physical_directory(folder: Path, written: str) -> Path:
    """The folder that a site's physicalDirectory means, relative to the definition."""
    return (folder / written.replace("\\", "/")).resolve()


def configuration_file(folder: Path, name: str) -> Path:
    """The file of the configuration `name`, such as Local or Cloud."""
    return folder / f"ServiceConfiguration.{name}.cscfg"


def configurations(folder: Path) -> list[str]:
    """The names of all configurations of a service, sorted."""
    paths = folder.glob("ServiceConfiguration.*.cscfg")
    return sorted(path.name.removeprefix("ServiceConfiguration.").removesuffix(".cscfg") for path in paths)


def load(folder: Path, name: str) -> Service:
    """The service with one configuration, or every fault of the two files and the role folders at once."""
    path = configuration_file(folder, name)
    if not path.is_file():
        there = ", ".join(configurations(folder)) or "none"
        remedy = f"Create it, or choose another with --configuration (there: {there})"
        raise ServiceError(Fault(shown(path), "there is no such configuration", remedy))
    return _read(folder, [name])[0]


def check(folder: Path) -> list[Service]:
    """The service with each of its configurations, or every fault of every file at once."""
    names = configurations(folder)
    if not names:
        wrong = "there is no ServiceConfiguration.<name>.cscfg"
        raise ServiceError(Fault(shown(folder), wrong, "Create ServiceConfiguration.Local.cscfg"))
    return _read(folder, names)


def _read(folder: Path, names: Iterable[str]) -> list[Service]:
    faults: list[Fault] = []
    defined: Definition | None = None
    configured: dict[str, Configuration] = {}
    try:
        defined = definition.load(folder / DEFINITION)
        _check_folders(folder, defined)
        faults += defined.document.faults
    except ServiceError as error:
        faults += error.faults
    for name in names:
        try:
            configured[name] = configuration.load(configuration_file(folder, name))
            if defined is not None:
                _check_pair(defined, configured[name])
            faults += configured[name].document.faults
        except ServiceError as error:
            faults += error.faults
    if faults or defined is None:
        raise ServiceError(*faults)
    return [
        Service(defined.name, name, defined.update_domains, defined.roles, found.roles)
        for name, found in configured.items()
    ]


def _check_folders(folder: Path, defined: Definition) -> None:
    """Each role has a folder, and its command lines name files that are there."""
    read = defined.document
    for role in defined.roles:
        element = defined.elements[role.name]
        root = role_folder(folder, role.name)
        if not root.is_dir():
            wrong = f"role '{role.name}' has no folder {shown(root)}"
            read.fault(element, wrong, "Create it, or remove the role from the definition")
            continue
        for site in read.children(element, "Sites/Site"):
            _check_site(folder, read, site)
        base = root / "bin" if role.kind == "web" else root
        commands = [(task, task.get("commandLine", ""), base) for task in read.children(element, "Startup/Task")]
        for entry in read.children(element, "Runtime/EntryPoint/ProgramEntryPoint"):
            commands.append((entry, entry.get("commandLine", ""), root))
        for where, command_line, start in commands:
            for name in commandline.missing_files(command_line, root, start):
                wrong = f"the command line of role '{role.name}' names {name}, which is not in {shown(root)}"
                read.fault(where, wrong, "Add the file (is bin/ git-ignored?), or correct the command line")


def _check_site(folder: Path, read: Document, site: Element) -> None:
    """A site's folder exists, beside the service or in it, and does not hold the service itself."""
    written = site.get("physicalDirectory")
    if written is None:
        return
    place = physical_directory(folder, written)
    if not place.is_dir():
        wrong = f"{read.label(site)} has the physicalDirectory '{written}', which is no folder"
        read.fault(site, wrong, "Create it, or correct the path; it is relative to the definition")
    elif folder.resolve().is_relative_to(place) or not place.is_relative_to(folder.resolve().parent):
        wrong = f"{read.label(site)} has the physicalDirectory '{written}', which is not in or beside the service"
        read.fault(site, wrong, "Put the site's files in a folder of their own there")


def _check_pair(defined: Definition, configured: Configuration) -> None:
    """The rules that join a definition with a configuration."""
    read = configured.document
    if configured.service_name != defined.name:
        wrong = f"serviceName is '{configured.service_name}', but the definition's name is '{defined.name}'"
        read.fault(read.root, wrong, "Make them equal")
    for role in defined.roles:
        if role.name and role.name not in configured.roles:
            wrong = f"role '{role.name}' of the definition is missing"
            read.fault(read.root, wrong, f'Add <Role name="{role.name}"><Instances count="1" /></Role>')
        elif role.name:
            _check_settings(configured, role)
    for name in configured.roles.keys() - {role.name for role in defined.roles}:
        wrong = f"role '{name}' is not in the definition"
        read.fault(configured.elements[name], wrong, "Remove it here, or define it")


def _check_settings(configured: Configuration, role: Role) -> None:
    read, element = configured.document, configured.elements[role.name]
    given = configured.roles[role.name].settings
    for name in role.settings:
        if name not in given:
            wrong = f"role '{role.name}' has no value for setting '{name}'"
            read.fault(element, wrong, f'Add <Setting name="{name}" value="…" /> to its ConfigurationSettings')
    for name in given.keys() - set(role.settings):
        if not name.startswith(_PLUGIN):
            wrong = f"role '{role.name}' has a value for setting '{name}', which the definition does not declare"
            read.fault(element, wrong, "Declare it in the definition, or remove it here")
