"""ServiceDefinition.csdef: read into roles. What is wrong with it is noted in its document."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from cloudservice import document, schema
from cloudservice.document import Document
from cloudservice.element import Element
from cloudservice.errors import Fault, ServiceError
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
KINDS: dict[str, Kind] = {"WebRole": "web", "WorkerRole": "worker"}
_ENDPOINTS: dict[str, EndpointKind] = {
    "InputEndpoint": "input",
    "InternalEndpoint": "internal",
    "InstanceInputEndpoint": "instance-input",
}
_TASK_TYPES: dict[str, TaskType] = {"foreground": "foreground", "background": "background"}


class Definition(NamedTuple):
    """A definition file: its values, and the element of each role, in the order of `roles`, for faults found later."""

    document: Document
    name: str
    update_domains: int
    topology_change_discovery: str | None
    roles: tuple[Role, ...]
    elements: tuple[Element, ...]
    probes: tuple[Probe, ...]
    traffic_rules: tuple[TrafficRule, ...]

    def role(self, name: str) -> Role:
        """The role of that name; ServiceError if there is none."""
        for role in self.roles:
            if role.name == name:
                return role
        there = ", ".join(role.name for role in self.roles) or "none"
        raise ServiceError(Fault("ROLE", f"there is no role '{name}'", f"Choose from {there}"))


def load(path: Path) -> Definition:
    """Read a definition; a file that is no definition raises ServiceError, other faults are noted in its document."""
    return parse(path, document.read(path))


def parse(path: Path, content: bytes) -> Definition:
    """Read the content of a definition, which is checked against the schema; otherwise as `load`."""
    read = document.parse(path, content, ROOT, NAMESPACE)
    schema.validate(read)
    root = read.root
    named: dict[str, Element] = {}
    for each in root.either(*KINDS):
        if each.get("name"):
            named.setdefault(each.get("name", ""), each)
    elements = tuple(islice(named.values(), _MOST_READ))
    return Definition(
        document=read,
        name=root.get("name", ""),
        update_domains=root.number("upgradeDomainCount", UPDATE_DOMAINS),
        topology_change_discovery=root.get("topologyChangeDiscovery"),
        roles=tuple(_role(each) for each in elements),
        elements=elements,
        probes=tuple(_probe(each) for each in root.all("LoadBalancerProbes", "LoadBalancerProbe")),
        traffic_rules=tuple(_traffic_rule(each) for each in root.all("NetworkTrafficRules", "OnlyAllowTrafficTo")),
    )


def endpoint_elements(role: Element) -> list[Element]:
    """The endpoints of a role, in the forms of today and before."""
    here = [each for holder in role.all("Endpoints") for each in holder.either(*_ENDPOINTS)]
    return [*here, *role.all("InputEndpoints", "InputEndpoint"), *role.all("InternalEndpoint")]


def store_elements(role: Element) -> list[Element]:
    """The local stores of a role, in the forms of today and before."""
    return [*role.all("LocalResources", "LocalStorage"), *role.all("LocalStorage")]


def virtual_elements(site: Element) -> list[Element]:
    """The applications and directories right below a site or another one."""
    return site.either("VirtualApplication", "VirtualDirectory")


def _role(element: Element) -> Role:
    runtime = element.first("Runtime")
    startup = element.first("Startup")
    program = element.first("Runtime", "EntryPoint", "ProgramEntryPoint")
    return Role(
        name=element.get("name", ""),
        kind=KINDS[element.name],
        vmsize=element.get("vmsize", "Small"),
        endpoints=tuple(_endpoint(each) for each in endpoint_elements(element)),
        settings=_names(element.all("ConfigurationSettings", "Setting")),
        certificates=tuple(_certificate(each) for each in element.all("Certificates", "Certificate")),
        local_storage=tuple(_local_storage(each) for each in store_elements(element)),
        tasks=tuple(_task(each) for each in element.all("Startup", "Task")),
        environment=_variables(element.all("Runtime")),
        entry_point=None if program is None else program.get("commandLine", ""),
        sites=tuple(_site(each) for each in element.all("Sites", "Site")),
        imports=_names(element.all("Imports", "Import"), "moduleName"),
        contents=tuple(_content(each) for each in element.all("Contents", "Content")),
        assembly=_assembly(element.first("Runtime", "EntryPoint", "NetFxEntryPoint")),
        startup_priority=0 if startup is None else startup.number("priority", 0),
        execution_context="limited" if runtime is None else runtime.get("executionContext", "limited"),
        enable_native_code_execution=element.boolean("enableNativeCodeExecution", True),
    )


def _endpoint(element: Element) -> Endpoint:
    name, kind, protocol = element.get("name", ""), _ENDPOINTS[element.name], element.get("protocol", "")
    port = element.number("port")
    if kind == "internal":
        ports = _ranges(element)
        fixed = ports[0].first if len(ports) == 1 and ports[0].size == 1 else None
        return Endpoint(name, kind, protocol, port or fixed, ports=ports)
    if kind == "instance-input":
        ports = _ranges(element, "AllocatePublicPortFrom")
        return Endpoint(name, kind, protocol, local_port=element.number("localPort"), ports=ports)
    return Endpoint(
        name=name,
        kind=kind,
        protocol=protocol,
        port=port,
        local_port=None if element.get("localPort") == "*" else element.number("localPort") or port,
        certificate=element.get("certificate"),
        probe=element.get("loadBalancerProbe"),
        load_balancer=element.get("loadBalancer"),
        ignore_role_instance_status=element.boolean("ignoreRoleInstanceStatus", False),
        distribution=element.get("loadBalancerDistribution"),
        idle_timeout_in_minutes=element.number("idleTimeoutInMinutes"),
    )


def _ranges(element: Element, *path: str) -> tuple[PortRange, ...]:
    """The FixedPort and FixedPortRange elements at a path below an element."""
    single = (each.number("port") for each in element.all(*path, "FixedPort"))
    wide = ((each.number("min"), each.number("max")) for each in element.all(*path, "FixedPortRange"))
    ports = [*((port, port) for port in single), *wide]
    return tuple(PortRange(first, last) for first, last in ports if first is not None and last is not None)


def _certificate(element: Element) -> Certificate:
    return Certificate(
        element.get("name", ""),
        element.get("storeLocation", ""),
        element.get("storeName", ""),
        element.get("permissionLevel", "limitedOrElevated"),
    )


def _local_storage(element: Element) -> LocalStorage:
    size = element.number("sizeInMB", 100)
    return LocalStorage(element.get("name", ""), size, element.boolean("cleanOnRoleRecycle", True))


def _task(element: Element) -> Task:
    return Task(
        element.get("commandLine", ""),
        _TASK_TYPES.get(element.get("taskType", ""), "simple"),
        element.get("executionContext", "limited"),
        _variables([element]),
    )


def _variables(holders: Iterable[Element]) -> tuple[Variable, ...]:
    """The environment of a task or of the runtime."""
    return tuple(_variable(each) for holder in holders for each in holder.all("Environment", "Variable"))


def _variable(element: Element) -> Variable:
    value = element.first("RoleInstanceValue")
    return Variable(element.get("name", ""), element.get("value"), None if value is None else value.get("xpath", ""))


def _site(element: Element) -> Site:
    bindings = tuple(
        Binding(each.get("name", ""), each.get("endpointName", ""), each.get("hostHeader", ""))
        for each in element.all("Bindings", "Binding")
    )
    return Site(element.get("name", ""), element.get("physicalDirectory"), bindings, _below(element))


def _below(element: Element) -> tuple[Virtual, ...]:
    return tuple(
        Virtual(
            each.get("name", ""),
            each.name == "VirtualApplication",
            each.get("physicalDirectory", ""),
            _below(each),
        )
        for each in virtual_elements(element)
    )


def _content(element: Element) -> Content:
    source = element.first("SourceDirectory")
    return Content("" if source is None else source.get("path", ""), element.get("destination", ""))


def _assembly(element: Element | None) -> Assembly | None:
    if element is None:
        return None
    return Assembly(element.get("assemblyName", ""), element.get("targetFrameworkVersion", ""))


def _probe(element: Element) -> Probe:
    return Probe(
        element.get("name", ""),
        element.get("protocol", ""),
        element.get("path"),
        element.number("port"),
        element.number("intervalInSeconds", 15),
        element.number("timeoutInSeconds", 31),
    )


def _traffic_rule(element: Element) -> TrafficRule:
    destinations = tuple(
        (each.get("roleName", ""), each.get("endpointName", "")) for each in element.all("Destinations", "RoleEndpoint")
    )
    source = element.first("WhenSource")
    return TrafficRule(destinations, None if source is None else _names(source.all("FromRole"), "roleName"))


def _names(elements: Iterable[Element], attribute: str = "name") -> tuple[str, ...]:
    return tuple(each.get(attribute, "") for each in elements)
