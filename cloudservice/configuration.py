"""ServiceConfiguration.<name>.cscfg: read into instance counts and setting values by role."""

from dataclasses import dataclass
from pathlib import Path

from cloudservice import document
from cloudservice.document import Document, Element
from cloudservice.service import RoleConfiguration

NAMESPACE = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration"
_MAX_INSTANCES = 1000


@dataclass(frozen=True)
class Configuration:
    """A configuration file: its values, and the element of each role for faults found later."""

    document: Document
    service_name: str
    roles: dict[str, RoleConfiguration]
    elements: dict[str, Element]


def load(path: Path) -> Configuration:
    """Read a configuration; a file that is none raises ServiceError, other faults are noted in its document."""
    read = document.load(path, "ServiceConfiguration", NAMESPACE)
    elements: dict[str, Element] = {}
    for element in read.children(read.root, "Role"):
        name = read.attribute(element, "name")
        if name in elements:
            wrong = f"role '{name}' is already configured in line {elements[name].sourceline}"
            read.fault(element, wrong, "Keep one of them")
        elements.setdefault(name, element)
    roles = {name: _role(read, element) for name, element in elements.items()}
    return Configuration(read, read.attribute(read.root, "serviceName"), roles, elements)


def _role(read: Document, element: Element) -> RoleConfiguration:
    count = read.child(element, "Instances")
    if count is None:
        read.fault(element, f"{read.label(element)} has no Instances", 'Add <Instances count="1" /> to it')
    settings: dict[str, str] = {}
    for setting in read.children(element, "ConfigurationSettings/Setting"):
        name = read.attribute(setting, "name")
        if name in settings:
            read.fault(setting, f"setting '{name}' stands twice in {read.label(element)}", "Keep one of them")
        if setting.get("value") is None:
            read.fault(setting, f"{read.label(setting)} has no value", 'Add value="…" to it; it may be empty')
        settings[name] = setting.get("value", "")
    thumbprints = {
        read.attribute(certificate, "name"): read.attribute(certificate, "thumbprint")
        for certificate in read.children(element, "Certificates/Certificate")
    }
    return RoleConfiguration(_instances(read, element, count), settings, thumbprints)


def _instances(read: Document, role: Element, count: Element | None) -> int:
    """The instance count; faults name the role, since an Instances element has no name."""
    text = None if count is None else count.get("count")
    if text is not None and document.is_number(text) and 1 <= int(text) <= _MAX_INSTANCES:
        return int(text)
    if count is not None:
        wrong = f"{read.label(role)} has Instances count '{text or ''}'"
        read.fault(count, wrong, f"Write a whole number from 1 to {_MAX_INSTANCES}")
    return 1
