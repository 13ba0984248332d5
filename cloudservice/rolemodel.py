"""RoleModel.xml: what a role instance reads about itself, as the fabric lays it in the role's root."""

from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

from cloudservice import markup
from cloudservice.service import Role, Site, Variable, Virtual

NAMESPACE = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition"
VERSION = "2.9.8699.20"
"""The last SDK's number: scripts written for it look at nothing newer."""
IMPORTS = "Imports"
"""The property that names the modules of the SDK that a role imports, which the SDK said elsewhere."""


def render(role: Role, directories: Mapping[tuple[str, ...], str]) -> bytes:
    """The document of one role.

    `directories` gives the folder of each site, and of what lies below it, by the names down to it; it is relative to
    the role's root. What is not in it keeps the folder that the definition names.
    """
    model = ElementTree.Element("RoleModel", xmlns=NAMESPACE, name=role.name, version=VERSION)
    startup = ElementTree.SubElement(model, "Startup")
    if role.startup_priority:
        startup.set("priority", str(role.startup_priority))
    for task in role.tasks:
        attributes = {"commandLine": task.command_line}
        if task.execution_context != "limited":
            attributes["executionContext"] = task.execution_context
        if task.task_type != "simple":
            attributes["taskType"] = task.task_type
        attributes["relativePath"] = "approot\\bin" if role.kind == "web" else "approot\\"
        _environment(ElementTree.SubElement(startup, "Task", attributes), task.environment)
    _runtime(ElementTree.SubElement(model, "Runtime"), role)
    properties = ElementTree.SubElement(model, "Properties")
    values = {"RoleType": role.kind.capitalize(), "RoleName": role.name, "Configuration": "Release"}
    if role.imports:
        values[IMPORTS] = " ".join(role.imports)
    for name, value in values.items():
        ElementTree.SubElement(properties, "Property", name=name, value=value)
    if role.sites:
        _sites(ElementTree.SubElement(model, "Sites"), role.sites, directories)
    return markup.render(model)


def _runtime(runtime: ElementTree.Element, role: Role) -> None:
    if role.execution_context != "limited":
        runtime.set("executionContext", role.execution_context)
    _environment(runtime, role.environment)
    if role.entry_point:
        runtime.set("protocolVersion", "2011-03-08")
        entry = ElementTree.SubElement(runtime, "EntryPoint")
        attributes = {"commandLine": role.entry_point, "setReadyOnProcessStart": "true"}
        ElementTree.SubElement(entry, "ProgramEntryPoint", attributes)


def _sites(parent: ElementTree.Element, sites: Iterable[Site], directories: Mapping[tuple[str, ...], str]) -> None:
    for site in sites:
        directory = directories.get((site.name,), site.physical_directory or "approot")
        element = ElementTree.SubElement(parent, "Site", name=site.name, physicalDirectory=directory)
        _virtuals(element, (site.name,), site.below, directories)
        bindings = ElementTree.SubElement(element, "Bindings")
        for binding in site.bindings:
            attributes = {"name": binding.name, "endpointName": binding.endpoint}
            if binding.host_header:
                attributes["hostHeader"] = binding.host_header
            ElementTree.SubElement(bindings, "Binding", attributes)


def _virtuals(
    parent: ElementTree.Element,
    above: tuple[str, ...],
    below: Iterable[Virtual],
    directories: Mapping[tuple[str, ...], str],
) -> None:
    for one in below:
        path = (*above, one.name)
        directory = directories.get(path, one.physical_directory)
        name = "VirtualApplication" if one.is_application else "VirtualDirectory"
        element = ElementTree.SubElement(parent, name, name=one.name, physicalDirectory=directory)
        _virtuals(element, path, one.below, directories)


def _environment(parent: ElementTree.Element, variables: tuple[Variable, ...]) -> None:
    environment = ElementTree.SubElement(parent, "Environment")
    for variable in variables:
        element = ElementTree.SubElement(environment, "Variable", name=variable.name)
        if variable.xpath is None:
            element.set("value", variable.value or "")
        else:
            ElementTree.SubElement(element, "RoleInstanceValue", xpath=variable.xpath)
