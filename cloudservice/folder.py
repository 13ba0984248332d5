"""A service's folder on disk: found, read with its configurations, and checked as a whole."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from cloudservice import (
    commandline,
    configuration,
    configuration_rules,
    definition,
    definition_rules,
    location,
    retirement,
    source_rules,
    sources,
    spelling,
)
from cloudservice.configuration import Configuration
from cloudservice.definition import Definition
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.service import Role, Service, Source, Virtual

UNNAMED = "Default"
"""The configuration of a ServiceConfiguration.cscfg, which the first SDKs knew alone."""
_CONFIGURATION = re.compile(r"ServiceConfiguration(?:\.(.+))?\.cscfg", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Examination:
    """A service with each configuration that could be read (none if anything is wrong), and all that was found."""

    services: tuple[Service, ...]
    faults: tuple[Fault, ...]

    @property
    def errors(self) -> tuple[Fault, ...]:
        """The faults that keep the service from being used."""
        return tuple(fault for fault in self.faults if fault.level == "error")

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """The faults that do not."""
        return tuple(fault for fault in self.faults if fault.level == "warning")


def role_folder(folder: Path, role: str) -> Path:
    """Where the sources of a new role are put."""
    return spelling.find(folder, "roles") / role


def virtual_folders(folder: Path, role: Role, source: Source) -> dict[tuple[str, ...], Path]:
    """The folder of each site, and of each application and directory below it, by the names down to it."""
    found: dict[tuple[str, ...], Path] = {}

    def add(above: tuple[str, ...], below: Iterable[Virtual]) -> None:
        for one in below:
            found[*above, one.name] = source_rules.physical_directory(folder, one.physical_directory)
            add((*above, one.name), one.below)

    for site, place in zip(role.sites, site_folders(folder, role, source).values(), strict=True):
        found[site.name,] = place
        add((site.name,), site.below)
    return found


def content_folders(folder: Path, role: Role) -> dict[str, Path]:
    """The folders that a definition adds to a role's files, by where they go below them, with `/`.

    ServiceError if one is not there: `%NAME%` in its path is a variable of this machine.
    """
    found: dict[str, Path] = {}
    faults = []
    for content in role.contents:
        written = commandline.expanded(content.source, os.environ)
        place = source_rules.physical_directory(folder, written)
        if not place.is_dir():
            wrong = (
                f"role '{role.name}' has a Content with the path '{content.source}', and {shown(place)} is no folder"
            )
            faults.append(
                Fault(shown(location.definition_file(folder)), wrong, "Correct the path, or set its variables")
            )
        destination = "/".join(
            part for part in content.destination.replace("\\", "/").split("/") if part not in {"", "."}
        )
        found[destination] = place
    if faults:
        raise ServiceError(*faults)
    return found


def content_variables(service: Service) -> set[str]:
    """The variables of this machine that say where contents are."""
    sources = (content.source for role in service.roles for content in role.contents)
    return {name for source in sources for name in commandline.VARIABLE.findall(source)}


def site_folders(folder: Path, role: Role, source: Source) -> dict[str, Path]:
    """The folder of each site by its name; without a physicalDirectory it is the role's folder."""
    return {
        site.name: source_rules.physical_directory(folder, site.physical_directory)
        if site.physical_directory is not None
        else source.folder
        for site in role.sites
    }


def configurations(folder: Path) -> dict[str, Path]:
    """The file of each configuration by its name, such as Local or Cloud, sorted."""
    return dict(sorted(_configuration_files(folder)))


def _configuration_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for file_name in sorted(name for name in os.listdir(folder) if name.lower().endswith(".cscfg")):
        name = configuration_name(file_name)
        if name is not None:
            yield name, folder / file_name


def configuration_name(file_name: str) -> str | None:
    """The name of the configuration that a file holds, by the file's own; None if it holds none."""
    match = _CONFIGURATION.fullmatch(file_name)
    return (match[1] or UNNAMED) if match else None


def _twins(folder: Path) -> Iterator[Fault]:
    """Two files that Windows, or this tool, cannot tell apart."""
    seen: dict[str, Path] = {}
    for name, path in _configuration_files(folder):
        twin = seen.setdefault(name.lower(), path)
        if twin != path:
            wrong = f"it is the same configuration as {twin.name}"
            yield Fault(shown(path), wrong, "Rename one of them", rule="same-configuration")


def configuration_file(folder: Path, name: str) -> Path:
    """The file of the configuration `name`, in any case if there is none of that spelling; ServiceError without one."""
    return _configuration_of(folder, name)[1]


def _configuration_of(folder: Path, name: str) -> tuple[str, Path]:
    """A configuration as its name is written on disk, and its file."""
    there = configurations(folder)
    found = name if name in there else next((each for each in there if each.lower() == name.lower()), None)
    if found is not None:
        return found, there[found]
    remedy = f"Create it, or choose another with --configuration (there: {', '.join(there) or 'none'})"
    where = shown(folder / f"ServiceConfiguration.{name}.cscfg")
    raise ServiceError(Fault(where, "there is no such configuration", remedy))


def usual_configuration(folder: Path, usual: str) -> str:
    """The name of the configuration that is meant where none is named: the usual one, or the only one there is."""
    return usual_of(configurations(folder), usual)


def usual_of(there: Collection[str], usual: str) -> str:
    """The same of the names of the configurations that are there."""
    return next(iter(there)) if usual not in there and len(there) == 1 else usual


def load(folder: Path, name: str) -> Service:
    """The service with one configuration, or every error of the two files and the role folders at once."""
    done = _examine(folder, dict([_configuration_of(folder, name)]))
    if done.errors:
        raise ServiceError(*done.errors)
    return done.services[0]


def check(folder: Path, today: date) -> Examination:
    """The service with each of its configurations, and everything that is wrong with it or near its end."""
    there = configurations(folder)
    done = _examine(folder, there, today)
    more = list(_twins(folder))
    if not there:
        wrong = "there is no ServiceConfiguration.<name>.cscfg"
        more.append(Fault(shown(folder), wrong, "Create ServiceConfiguration.Local.cscfg", rule="no-configuration"))
    return replace(done, services=() if more else done.services, faults=(*done.faults, *more))


def _examine(folder: Path, paths: Mapping[str, Path], today: date | None = None) -> Examination:
    """Read the definition and some configurations; with a date, look for what has ended by then too."""
    faults: list[Fault] = []
    defined, found = _read_definition(folder, faults, today)
    configured: dict[str, Configuration] = {}
    for name, path in paths.items():
        try:
            configured[name] = one = configuration.load(path)
        except ServiceError as error:
            faults += error.faults
            continue
        configuration_rules.check(one)
        if defined is not None:
            configuration_rules.check_pair(defined, one)
        if today is not None:
            retirement.check_configuration(one, today)
        faults += _in_order(one.document.faults)
    if defined is None or any(fault.level == "error" for fault in faults):
        return Examination((), tuple(faults))
    return Examination(tuple(_service(defined, found, name, one) for name, one in configured.items()), tuple(faults))


def _read_definition(
    folder: Path, faults: list[Fault], today: date | None
) -> tuple[Definition | None, Mapping[str, Source]]:
    """The definition and the sources of its roles, as far as they can be read; their faults go to `faults`."""
    found: Mapping[str, Source] = {}
    try:
        defined = definition.load(location.definition_file(folder))
    except ServiceError as error:
        faults += error.faults
        return None, found
    definition_rules.check(defined)
    try:
        found = sources.find(folder, defined.roles[: definition_rules.MOST_ROLES])
    except ServiceError as error:  # a cloud service project that cannot be read
        faults += error.faults
    faults += source_rules.check(folder, defined, found)
    if today is not None:
        retirement.check(defined, found, today)
    faults += _in_order(defined.document.faults)
    return defined, found


def _in_order(faults: Iterable[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: fault.line or 0)


def _service(defined: Definition, found: Mapping[str, Source], name: str, configured: Configuration) -> Service:
    return Service(
        name=defined.name,
        configuration=name,
        update_domains=defined.update_domains,
        roles=defined.roles,
        configured=configured.roles,
        sources=found,
        probes=defined.probes,
        traffic_rules=defined.traffic_rules,
        topology_change_discovery=defined.topology_change_discovery,
        os_family=configured.os_family,
        os_version=configured.os_version,
        network=configured.network,
    )
