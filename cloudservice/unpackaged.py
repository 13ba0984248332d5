"""The definition of a service as its author may have written it, from what a bundle has of it.

The reverse of `normalised` and `rolemodel`, which the SDK has none of.
"""

from collections.abc import Mapping
from xml.etree import ElementTree

from cloudservice import markup, modules
from cloudservice.rolemodel import IMPORTS, NAMESPACE

_OF_MODEL = ("Startup", "Runtime", "Sites")
_NOT_OF_DEFINITION = {"Task": "relativePath", "Runtime": "protocolVersion"}


def render(definition: str, models: Mapping[str, str], folders: Mapping[tuple[str, str], str]) -> bytes:
    r"""The document, of a normalised definition and the RoleModel.xml of each role.

    `folders` gives for a role and a folder of its root, such as `sitesroot\\0`, where it is now, relative to the
    document. Both texts are without DOCTYPE, which their readers have seen to.
    """
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.fromstring(definition)  # noqa: S314
    for role in root:
        name = role.get("name", "")
        if name not in models:
            continue
        model = ElementTree.fromstring(models[name])  # noqa: S314
        _import(role, model)
        for part in model:
            if part.tag.rpartition("}")[2] in _OF_MODEL and (len(part) or part.attrib):
                _adapt(part, name, folders)
                role.append(part)
    return markup.render(root)


def _import(role: ElementTree.Element, model: ElementTree.Element) -> None:
    """Name the modules that the role imports, and take out again what they bring."""
    properties = {one.get("name"): one.get("value", "") for one in model.iter(f"{{{NAMESPACE}}}Property")}
    imports = tuple(properties.get(IMPORTS, "").split())
    if not imports:
        return
    holder = ElementTree.SubElement(role, f"{{{NAMESPACE}}}Imports")
    for name in imports:
        ElementTree.SubElement(holder, f"{{{NAMESPACE}}}Import", moduleName=name)
    module = modules.brought(imports)
    brought = {*module.settings, *module.certificates, *(endpoint.name for endpoint in module.endpoints)}
    for part in role:
        for element in [one for one in part if one.get("name") in brought]:
            part.remove(element)


def _adapt(part: ElementTree.Element, role: str, folders: Mapping[tuple[str, str], str]) -> None:
    """Take out what only a RoleModel says, and let folders be where they are."""
    for element in part.iter():
        element.attrib.pop(_NOT_OF_DEFINITION.get(element.tag.rpartition("}")[2], ""), None)
        directory = element.get("physicalDirectory")
        if directory is not None:
            element.set("physicalDirectory", folders.get((role, directory), directory))
