"""RoleModel.xml: what a role instance reads about itself, as the fabric lays it in the role's root."""

from xml.etree import ElementTree

from cloudservice.service import Role, Variable

NAMESPACE = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition"
VERSION = "2.9.8699.20"
"""The last SDK's number: scripts written for it look at nothing newer."""


def render(role: Role, site_directories: dict[str, str]) -> bytes:
    """The document of one role; `site_directories` gives each site's folder, relative to the role's root."""
    model = ElementTree.Element("RoleModel", xmlns=NAMESPACE, name=role.name, version=VERSION)
    startup = ElementTree.SubElement(model, "Startup")
    for task in role.tasks:
        attributes = {"commandLine": task.command_line}
        if task.execution_context != "limited":
            attributes["executionContext"] = task.execution_context
        if task.task_type != "simple":
            attributes["taskType"] = task.task_type
        attributes["relativePath"] = "approot\\bin" if role.kind == "web" else "approot\\"
        _environment(ElementTree.SubElement(startup, "Task", attributes), task.environment)
    runtime = ElementTree.SubElement(model, "Runtime")
    _environment(runtime, role.environment)
    if role.entry_point:
        runtime.set("protocolVersion", "2011-03-08")
        entry = ElementTree.SubElement(runtime, "EntryPoint")
        attributes = {"commandLine": role.entry_point, "setReadyOnProcessStart": "true"}
        ElementTree.SubElement(entry, "ProgramEntryPoint", attributes)
    properties = ElementTree.SubElement(model, "Properties")
    values = {"RoleType": role.kind.capitalize(), "RoleName": role.name, "Configuration": "Release"}
    for name, value in values.items():
        ElementTree.SubElement(properties, "Property", name=name, value=value)
    if site_directories:
        sites = ElementTree.SubElement(model, "Sites")
        for name, directory in site_directories.items():
            ElementTree.SubElement(sites, "Site", name=name, physicalDirectory=directory)
    ElementTree.indent(model)
    text = ElementTree.tostring(model, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def _environment(parent: ElementTree.Element, variables: tuple[Variable, ...]) -> None:
    environment = ElementTree.SubElement(parent, "Environment")
    for variable in variables:
        element = ElementTree.SubElement(environment, "Variable", name=variable.name)
        if variable.xpath is None:
            element.set("value", variable.value or "")
        else:
            ElementTree.SubElement(element, "RoleInstanceValue", xpath=variable.xpath)
