"""ServiceDefinition.csdef: read into roles. What is wrong with it is noted in its document."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from cloudservice import document, schema
from cloudservice.document import Document, Element, local_name
from cloudservice.service import (
    Assembly,
    Binding,
    Certificate,
    Content,
    Endpoint,
    EndpointKind,
    Kind,
    LocalStorage,
    PortRange,
    Probe,
    Role,
    Site,
    Task,
    TaskType,
    TrafficRule,
    Variable,
    Virtual,
)

NAMESPACE = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition"
ROOT = "ServiceDefinition"
UPDATE_DOMAINS = 5
_MOST_READ = 500
"""Roles that are read at all; a service with so many is refused anyway."""
_KINDS: dict[str, Kind] = {"WebRole": "web", "WorkerRole": "worker"}
_ENDPOINTS: dict[str, EndpointKind] = {
    "InputEndpoint": "input",
    "InternalEndpoint": "internal",
    "InstanceInputEndpoint": "instance-input",
}
_TASK_TYPES: dict[str, TaskType] = {"foreground": "foreground", "background": "background"}


@dataclass(frozen=True)
class Definition:
    """A definition file: its values, and the element of each role, in the order of `roles`, for faults found later."""

    document: Document
    name: str
    update_domains: int
    topology_change_discovery: str | None
    roles: tuple[Role, ...]
    elements: tuple[Element, ...]
    probes: tuple[Probe, ...]
    traffic_rules: tuple[TrafficRule, ...]


def load(path: Path) -> Definition:
    """Read a definition; a file that is no definition raises ServiceError, other faults are noted in its document."""
    return of(document.load(path, ROOT, NAMESPACE))


def of(read: Document) -> Definition:
    """The definition in a parsed document, which is checked against the schema."""
    schema.validate(read)
    root = read.root
    elements = tuple(islice((each for each in read.either(root, *_KINDS) if each.get("name")), _MOST_READ))
    return Definition(
        document=read,
        name=root.get("name", ""),
        update_domains=read.number(root, "upgradeDomainCount", UPDATE_DOMAINS),
        topology_change_discovery=root.get("topologyChangeDiscovery"),
        roles=tuple(_role(read, each) for each in elements),
        elements=elements,
        probes=tuple(_probe(read, each) for each in read.children(root, "LoadBalancerProbes", "LoadBalancerProbe")),
        traffic_rules=tuple(
            _traffic_rule(read, each) for each in read.children(root, "NetworkTrafficRules", "OnlyAllowTrafficTo")
        ),
    )


def endpoint_elements(read: Document, role: Element) -> Iterator[Element]:
    """The endpoints of a role, in the forms of today and before."""
    for holder in read.children(role, "Endpoints"):
        yield from read.either(holder, *_ENDPOINTS)
    yield from read.children(role, "InputEndpoints", "InputEndpoint")
    yield from read.children(role, "InternalEndpoint")


def store_elements(read: Document, role: Element) -> Iterator[Element]:
    """The local stores of a role, in the forms of today and before."""
    yield from read.children(role, "LocalResources", "LocalStorage")
    yield from read.children(role, "LocalStorage")


def virtual_elements(read: Document, site: Element) -> Iterator[Element]:
    """The applications and directories right below a site or another one."""
    return read.either(site, "VirtualApplication", "VirtualDirectory")


def _role(read: Document, element: Element) -> Role:
    runtime = read.child(element, "Runtime")
    startup = read.child(element, "Startup")
    program = read.child(runtime, "EntryPoint", "ProgramEntryPoint")
    return Role(
        name=element.get("name", ""),
        kind=_KINDS[local_name(element)],
        vmsize=element.get("vmsize", "Small"),
        endpoints=tuple(_endpoint(read, each) for each in endpoint_elements(read, element)),
        settings=_names(read.children(element, "ConfigurationSettings", "Setting")),
        certificates=tuple(_certificate(each) for each in read.children(element, "Certificates", "Certificate")),
        local_storage=tuple(_local_storage(read, each) for each in store_elements(read, element)),
        tasks=tuple(_task(read, each) for each in read.children(startup, "Task")),
        environment=_variables(read, runtime),
        entry_point=None if program is None else program.get("commandLine", ""),
        sites=tuple(_site(read, each) for each in read.children(element, "Sites", "Site")),
        imports=_names(read.children(element, "Imports", "Import"), "moduleName"),
        contents=tuple(_content(read, each) for each in read.children(element, "Contents", "Content")),
        assembly=_assembly(read.child(runtime, "EntryPoint", "NetFxEntryPoint")),
        startup_priority=0 if startup is None else read.number(startup, "priority", 0),
        execution_context="limited" if runtime is None else runtime.get("executionContext", "limited"),
        enable_native_code_execution=read.boolean(element, "enableNativeCodeExecution", True),
    )


def _endpoint(read: Document, element: Element) -> Endpoint:
    name, kind, protocol = element.get("name", ""), _ENDPOINTS[local_name(element)], element.get("protocol", "")
    port = read.number(element, "port")
    if kind == "internal":
        ports = _ranges(read, element)
        fixed = ports[0].first if len(ports) == 1 and len(ports[0]) == 1 else None
        return Endpoint(name, kind, protocol, port or fixed, ports=ports)
    if kind == "instance-input":
        ports = _ranges(read, read.child(element, "AllocatePublicPortFrom"))
        return Endpoint(name, kind, protocol, local_port=read.number(element, "localPort"), ports=ports)
    return Endpoint(
        name=name,
        kind=kind,
        protocol=protocol,
        port=port,
        local_port=None if element.get("localPort") == "*" else read.number(element, "localPort") or port,
        certificate=element.get("certificate"),
        probe=element.get("loadBalancerProbe"),
        load_balancer=element.get("loadBalancer"),
        ignore_role_instance_status=read.boolean(element, "ignoreRoleInstanceStatus", False),
        distribution=element.get("loadBalancerDistribution"),
        idle_timeout_in_minutes=read.number(element, "idleTimeoutInMinutes"),
    )


def _ranges(read: Document, element: Element | None) -> tuple[PortRange, ...]:
    """The FixedPort and FixedPortRange children of an element."""
    single = (read.number(each, "port") for each in read.children(element, "FixedPort"))
    wide = ((read.number(each, "min"), read.number(each, "max")) for each in read.children(element, "FixedPortRange"))
    ports = [*((port, port) for port in single), *wide]
    return tuple(PortRange(first, last) for first, last in ports if first is not None and last is not None)


def _certificate(element: Element) -> Certificate:
    return Certificate(
        element.get("name", ""),
        element.get("storeLocation", ""),
        element.get("storeName", ""),
        element.get("permissionLevel", "limitedOrElevated"),
    )


def _local_storage(read: Document, element: Element) -> LocalStorage:
    size = read.number(element, "sizeInMB", 100)
    return LocalStorage(element.get("name", ""), size, read.boolean(element, "cleanOnRoleRecycle", True))


def _task(read: Document, element: Element) -> Task:
    return Task(
        element.get("commandLine", ""),
        _TASK_TYPES.get(element.get("taskType", ""), "simple"),
        element.get("executionContext", "limited"),
        _variables(read, element),
    )


def _variables(read: Document, holder: Element | None) -> tuple[Variable, ...]:
    """The environment of a task or of the runtime."""
    return tuple(_variable(read, each) for each in read.children(holder, "Environment", "Variable"))


def _variable(read: Document, element: Element) -> Variable:
    value = read.child(element, "RoleInstanceValue")
    return Variable(element.get("name", ""), element.get("value"), None if value is None else value.get("xpath", ""))


def _site(read: Document, element: Element) -> Site:
    bindings = tuple(
        Binding(each.get("name", ""), each.get("endpointName", ""), each.get("hostHeader", ""))
        for each in read.children(element, "Bindings", "Binding")
    )
    return Site(element.get("name", ""), element.get("physicalDirectory"), bindings, _below(read, element))


def _below(read: Document, element: Element) -> tuple[Virtual, ...]:
    return tuple(
        Virtual(
            each.get("name", ""),
            local_name(each) == "VirtualApplication",
            each.get("physicalDirectory", ""),
            _below(read, each),
        )
        for each in virtual_elements(read, element)
    )


def _content(read: Document, element: Element) -> Content:
    source = read.child(element, "SourceDirectory")
    return Content("" if source is None else source.get("path", ""), element.get("destination", ""))


def _assembly(element: Element | None) -> Assembly | None:
    if element is None:
        return None
    return Assembly(element.get("assemblyName", ""), element.get("targetFrameworkVersion", ""))


def _probe(read: Document, element: Element) -> Probe:
    return Probe(
        element.get("name", ""),
        element.get("protocol", ""),
        element.get("path"),
        read.number(element, "port"),
        read.number(element, "intervalInSeconds", 15),
        read.number(element, "timeoutInSeconds", 31),
    )


def _traffic_rule(read: Document, element: Element) -> TrafficRule:
    destinations = tuple(
        (each.get("roleName", ""), each.get("endpointName", ""))
        for each in read.children(element, "Destinations", "RoleEndpoint")
    )
    source = read.child(element, "WhenSource")
    return TrafficRule(destinations, None if source is None else _names(read.children(source, "FromRole"), "roleName"))


def _names(elements: Iterable[Element], attribute: str = "name") -> tuple[str, ...]:
    return tuple(each.get(attribute, "") for each in elements)
