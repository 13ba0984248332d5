"""ServiceDefinition.csdef: read into roles, with every fault of the file noted."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cloudservice import document, names, xpath
from cloudservice.document import Document, Element
from cloudservice.service import Endpoint, EndpointKind, Kind, LocalStorage, Role, Site, Task, TaskType, Variable

NAMESPACE = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition"
_PORTS = range(1, 65536)
_PROTOCOLS = ("http", "https", "tcp", "udp")
_ENDPOINTS: dict[str, EndpointKind] = {
    "InputEndpoint": "input",
    "InternalEndpoint": "internal",
    "InstanceInputEndpoint": "instance-input",
}


@dataclass(frozen=True)
class Definition:
    """A definition file: its values, and the element of each role for faults found later."""

    document: Document
    name: str
    update_domains: int
    roles: tuple[Role, ...]
    elements: dict[str, Element]


def load(path: Path) -> Definition:
    """Read a definition; a file that is no definition raises ServiceError, other faults are noted in its document."""
    read = document.load(path, "ServiceDefinition", NAMESPACE)
    elements = [element for element in read.root if element.tag in _role_tags()]
    roles = tuple(_role(read, element) for element in elements)
    if not roles:
        read.fault(read.root, "the service has no role", "Add one with `invoke new-role NAME --kind web`")
    _check_name(read, read.root, "a service")
    _unique(read, elements, "role")
    _unique_ports(read, elements)
    return Definition(
        read,
        read.attribute(read.root, "name"),
        read.number(read.root, "upgradeDomainCount", range(1, 21), 5) or 5,
        roles,
        {role.name: element for role, element in zip(roles, elements, strict=True)},
    )


def _role_tags() -> set[str]:
    return {f"{{{NAMESPACE}}}WebRole", f"{{{NAMESPACE}}}WorkerRole"}


def _role(read: Document, element: Element) -> Role:
    kind: Kind = "web" if element.tag == f"{{{NAMESPACE}}}WebRole" else "worker"
    name = read.attribute(element, "name")
    _check_name(read, element, "a role")
    entry = read.child(element, "Runtime/EntryPoint/ProgramEntryPoint")
    role = Role(
        name=name,
        kind=kind,
        vmsize=element.get("vmsize", "Small"),
        endpoints=tuple(_endpoints(read, element)),
        settings=_names(read, element, "ConfigurationSettings/Setting"),
        certificates=_names(read, element, "Certificates/Certificate"),
        local_storage=tuple(_local_storage(read, element)),
        tasks=tuple(_task(read, task) for task in read.children(element, "Startup/Task")),
        environment=_variables(read, read.child(element, "Runtime/Environment")),
        entry_point=None if entry is None else read.attribute(entry, "commandLine"),
        sites=tuple(_sites(read, element)),
    )
    _check_role(read, element, role)
    return role


def _check_role(read: Document, element: Element, role: Role) -> None:
    """The rules that join one part of a role with another."""
    if role.kind == "worker" and not role.entry_point:
        remedy = "Add Runtime/EntryPoint/ProgramEntryPoint with its command line"
        read.fault(element, f"worker role '{role.name}' has no program to run", remedy)
    if role.kind == "web" and role.entry_point:
        read.fault(element, f"web role '{role.name}' has a ProgramEntryPoint", "Only a worker role may have one")
    endpoints = {endpoint.name for endpoint in role.endpoints}
    for binding in read.children(element, "Sites/Site/Bindings/Binding"):
        endpoint = binding.get("endpointName", "")
        if endpoint and endpoint not in endpoints:
            read.fault(binding, f"there is no endpoint '{endpoint}' in role '{role.name}'", "Name one of its endpoints")
    for value in element.iter(f"{{{NAMESPACE}}}RoleInstanceValue"):
        unknown = xpath.missing(value.get("xpath", ""), role)
        if unknown:
            wrong = f"its xpath asks for {unknown}"
            read.fault(value, wrong, "The paths there are stand in rolepack's docs/role-environment.md")


def _endpoints(read: Document, role: Element) -> Iterable[Endpoint]:
    holder = read.child(role, "Endpoints")
    found = [] if holder is None else [e for e in holder if isinstance(e.tag, str)]
    for element in found:
        kind = _ENDPOINTS.get(document.local_name(element))
        if kind is None:
            read.fault(element, f"{read.label(element)} is no endpoint", f"Use one of {', '.join(_ENDPOINTS)}")
            continue
        protocols = (*_PROTOCOLS, "any") if kind == "internal" else _PROTOCOLS
        protocol = read.choice(element, "protocol", protocols)
        port = read.number(element, "port", _PORTS) if kind == "input" else _fixed_port(read, element)
        local = None if element.get("localPort") in {None, "*"} else read.number(element, "localPort", _PORTS)
        yield Endpoint(read.attribute(element, "name"), kind, protocol, port, local)
    _unique(read, found, "endpoint")


def _fixed_port(read: Document, element: Element) -> int | None:
    """The single port of an internal endpoint, if the definition fixes one."""
    if element.get("port") not in {None, "*"}:
        return read.number(element, "port", _PORTS)
    fixed = read.child(element, "FixedPort")
    return None if fixed is None else read.number(fixed, "port", _PORTS)


def _local_storage(read: Document, role: Element) -> Iterable[LocalStorage]:
    elements = list(read.children(role, "LocalResources/LocalStorage"))
    for element in elements:
        _check_name(read, element, "a local store")
        size = read.number(element, "sizeInMB", range(1, 2**31), 100)
        clean = read.boolean(element, "cleanOnRoleRecycle", default=True)
        yield LocalStorage(read.attribute(element, "name"), size or 100, clean)
    _unique(read, elements, "local store")


def _task(read: Document, element: Element) -> Task:
    types: dict[str, TaskType] = {"simple": "simple", "foreground": "foreground", "background": "background"}
    return Task(
        read.attribute(element, "commandLine"),
        types[read.choice(element, "taskType", tuple(types), "simple")],
        read.choice(element, "executionContext", ("limited", "elevated"), "limited"),
        _variables(read, read.child(element, "Environment")),
    )


def _variables(read: Document, environment: Element | None) -> tuple[Variable, ...]:
    if environment is None:
        return ()
    variables = []
    for element in read.children(environment, "Variable"):
        value = read.child(element, "RoleInstanceValue")
        if (value is None) == (element.get("value") is None):
            read.fault(element, f"{read.label(element)} needs a value or a RoleInstanceValue", "Give it one of the two")
        if "=" in element.get("name", ""):
            read.fault(element, "no environment variable can have '=' in its name", "Remove it from the name")
        expression = None if value is None else read.attribute(value, "xpath")
        variables.append(Variable(read.attribute(element, "name"), element.get("value"), expression))
    return tuple(variables)


def _sites(read: Document, role: Element) -> Iterable[Site]:
    for element in read.children(role, "Sites/Site"):
        bindings = tuple(
            read.attribute(binding, "endpointName") for binding in read.children(element, "Bindings/Binding")
        )
        yield Site(read.attribute(element, "name"), element.get("physicalDirectory"), bindings)


def _check_name(read: Document, element: Element, noun: str) -> None:
    """Services, roles and stores give their names to files and folders; a missing name is another fault."""
    name = element.get("name", "")
    if name and not names.is_name(name):
        read.fault(element, f"'{name}' cannot be the name of {noun}", names.RULE)


def _names(read: Document, role: Element, path: str) -> tuple[str, ...]:
    elements = list(read.children(role, path))
    _unique(read, elements, path.rpartition("/")[2].lower())
    return tuple(read.attribute(element, "name") for element in elements)


def _unique(read: Document, elements: Iterable[Element], noun: str) -> None:
    """Fault every element whose name has been used before it, in any case: Windows' folders do not tell them apart."""
    seen: dict[str, int] = {}
    for element in elements:
        name = element.get("name", "")
        if name.lower() in seen:
            wrong = f"there is another {noun} '{name}' in line {seen[name.lower()]}"
            read.fault(element, wrong, "Rename one of them")
        seen.setdefault(name.lower(), element.sourceline or 0)


def _unique_ports(read: Document, roles: Iterable[Element]) -> None:
    """A public port belongs to one endpoint of the whole service, for each transport."""
    seen: dict[tuple[str, bool], str] = {}
    for role in roles:
        for element in read.children(role, "Endpoints/InputEndpoint"):
            key = element.get("port", ""), element.get("protocol") == "udp"
            owner = f"{role.get('name')}/{element.get('name')}"
            if key in seen and key[0]:
                wrong = f"port {key[0]} of {owner} is already the port of {seen[key]}"
                read.fault(element, wrong, "Give each input endpoint a port of its own")
            seen.setdefault(key, owner)
