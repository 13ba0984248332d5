"""The rules of a definition that its schema cannot say."""

import re
from collections.abc import Mapping, Sequence, Set

from cloudservice import modules, names, xpath
from cloudservice.definition import KINDS, Definition, endpoint_elements, store_elements, virtual_elements
from cloudservice.document import Document
from cloudservice.element import Element
from cloudservice.repeats import once, unique
from cloudservice.service import Endpoint, PortRange, Role

MOST_ROLES = 25
MOST_ENDPOINTS = 25
_MOST_INTERNAL = 5
_MOST_COMPARED = 100
"""Public ports that a further one is compared with; a service with so many is refused anyway."""
_NOT_HTTP = {"tcp", "udp", "any"}
_SIZES = re.compile(r"(?i)ExtraSmall|Small|Medium|Large|ExtraLarge|A\d+|(Standard|Basic)_\w+")
SIZES = "Write Standard_ and its name in Azure, such as Standard_D2_v2, or a classic one such as Small"


def is_size(name: str) -> bool:
    """Whether a virtual machine may have a size of that name; which there are changes with time and place."""
    return _SIZES.fullmatch(name) is not None


def check(defined: Definition) -> None:
    """Note what is wrong in the definition itself."""
    read = defined.document
    for name in ("LoadBalancerProbes", "NetworkTrafficRules"):
        once(read, read.root.all(name))
    _name(read, read.root, "a service")
    _count_roles(defined)
    _count_endpoints(defined)
    unique(read, read.root.either(*KINDS), "role")
    _public_ports(defined)
    _probes(defined)
    _traffic_rules(defined)
    probes = {probe.name for probe in defined.probes}
    for role, element in zip(defined.roles, defined.elements, strict=True):
        _name(read, element, "a role")
        if not is_size(role.vmsize):
            wrong = f"role '{role.name}' has vmsize '{role.vmsize}', which is none that is known"
            read.fault(element, "unknown-size", wrong, SIZES)
        _role(read, role, element)
        _endpoints(read, role, element, probes)


def _role(read: Document, role: Role, element: Element) -> None:
    for store in store_elements(element):
        _name(read, store, "a local store")
    unique(read, store_elements(element), "local store")
    unique(read, endpoint_elements(element), "endpoint")
    unique(read, element.all("ConfigurationSettings", "Setting"), "setting")
    unique(read, element.all("Certificates", "Certificate"), "certificate")
    unique(read, element.all("Imports", "Import"), "import", lambda each: each.get("moduleName", ""))
    _imports(read, element)
    _sites(read, role, element)
    for environment in (*element.all("Startup", "Task"), *element.all("Runtime")):
        _variables(read, environment)
    known = xpath.names_of(role)
    for value in element.descendants("RoleInstanceValue") if role.name not in read.torn else ():
        unknown = xpath.missing(value.get("xpath", ""), known, read.meant) if value.get("xpath") else None
        if unknown:
            wrong, remedy = unknown
            variable = value.parent.label if value.parent else ""
            read.fault(value, "unknown-xpath", f"the xpath of {variable} of role '{role.name}' {wrong}", remedy)


def _count_roles(defined: Definition) -> None:
    read = defined.document
    if not defined.roles and not read.torn and not read.root.either(*KINDS):
        read.fault(read.root, "no-role", "the service has no role", "Add one with `invoke new-role NAME --kind web`")
    if len(defined.roles) > MOST_ROLES:
        wrong = f"the service has more than {MOST_ROLES} roles"
        read.fault(read.root, "too-many-roles", wrong, "Make two services of it")


def _count_endpoints(defined: Definition) -> None:
    """A service has 25 endpoints at most; a worker role 5 internal ones, a web role without sites 1."""
    read = defined.document
    total = sum(len(modules.endpoints_of(role)) for role in defined.roles)
    if total > MOST_ENDPOINTS:
        wrong = f"the service has {total} endpoints, those of imported modules counted"
        read.fault(read.root, "too-many-endpoints", wrong, f"A service has {MOST_ENDPOINTS} at most: remove some")
    for role, element in zip(defined.roles, defined.elements, strict=True):
        if role.kind == "web" and role.sites:
            continue
        most = _MOST_INTERNAL if role.kind == "worker" else 1
        internal = sum(endpoint.kind == "internal" and endpoint.protocol != "any" for endpoint in role.endpoints)
        if internal > most:
            wrong = f"role '{role.name}' has {internal} internal endpoints"
            kind = "worker role" if role.kind == "worker" else "web role without sites"
            read.fault(element, "too-many-endpoints", wrong, f"A {kind} has {most} at most: remove some")


def _public_ports(defined: Definition) -> None:
    """A public port belongs to one endpoint of the whole service, for each transport."""
    read = defined.document
    taken: list[tuple[bool, PortRange, str]] = []
    for role, element in zip(defined.roles, defined.elements, strict=True):
        elements = list(endpoint_elements(element))
        brought = modules.brought(role.imports).endpoints
        places = [*zip(role.endpoints, elements, strict=True), *((endpoint, element) for endpoint in brought)]
        for endpoint, where in places:
            owner = f"{role.name}/{endpoint.name}"
            for ports in public_ports(endpoint):
                clash = _clash(taken, endpoint.protocol == "udp", ports)
                if clash:
                    wrong = f"{_ports(ports)} of {owner} is already taken by {clash}"
                    read.fault(where, "same-port", wrong, "Give each public endpoint ports of its own")
                taken.append((endpoint.protocol == "udp", ports, owner))


def public_ports(endpoint: Endpoint) -> tuple[PortRange, ...]:
    """The ports that an endpoint takes on the service's public address."""
    if endpoint.load_balancer:  # it answers at the address of that one
        return ()
    if endpoint.kind == "input":
        return () if endpoint.port is None else (PortRange(endpoint.port, endpoint.port),)
    return endpoint.ports if endpoint.kind == "instance-input" else ()


def _clash(taken: Sequence[tuple[bool, PortRange, str]], udp: bool, ports: PortRange) -> str | None:
    for other_udp, other, owner in taken[:_MOST_COMPARED]:
        if udp == other_udp and ports.first <= other.last and other.first <= ports.last:
            return owner
    return None


def _ports(ports: PortRange) -> str:
    return f"port {ports.first}" if ports.first == ports.last else f"the range {ports.first} to {ports.last}"


def _endpoints(read: Document, role: Role, element: Element, probes: Set[str]) -> None:
    certificates = {*(one.name for one in role.certificates), *modules.brought(role.imports).certificates}
    is_sure = role.name not in read.torn
    for endpoint, where in zip(role.endpoints, endpoint_elements(element), strict=True):
        label = where.label
        if endpoint.kind == "input" and endpoint.protocol == "https" and not endpoint.certificate:
            remedy = "Name one of the role's Certificates in its certificate attribute"
            read.fault(where, "no-certificate", f"{label} is https and names no certificate", remedy)
        elif endpoint.certificate and endpoint.certificate not in certificates and is_sure:
            wrong = f"there is no certificate '{endpoint.certificate}' in role '{role.name}'"
            read.fault(where, "unknown-certificate", wrong, "Add it to the role's Certificates, or name one of them")
        if endpoint.probe and endpoint.probe not in probes and "" not in read.torn:
            wrong = f"there is no probe '{endpoint.probe}' in LoadBalancerProbes"
            read.fault(where, "unknown-probe", wrong, "Add it there, or name one that is there")
        if endpoint.kind == "internal" and where.get("port") and list(where.either("FixedPort", "FixedPortRange")):
            wrong = f"{label} has both a port and ports as children"
            read.fault(where, "port-twice", wrong, "Keep one of the two")
        for ports in where.descendants("FixedPortRange") if where.children else ():
            if (ports.number("min") or 0) > (ports.number("max") or 0) > 0:
                wrong = f"{label} has ports from {ports.get('min')} to {ports.get('max')}"
                read.fault(ports, "empty-range", wrong, "Write the smaller one as min")


def _sites(read: Document, role: Role, element: Element) -> None:
    unique(read, element.all("Sites", "Site"), "site")
    endpoints = {endpoint.name: endpoint for endpoint in role.endpoints}
    answers: dict[tuple[str, str], str] = {}
    for site in element.all("Sites", "Site"):
        if site.first("Bindings") is None:
            remedy = "Add Bindings with a Binding to one of the role's http endpoints"
            read.fault(site, "missing-element", f"{site.label} has no Bindings", remedy)
        once(read, site.all("Bindings"))
        unique(read, site.all("Bindings", "Binding"), "binding")
        _unique_below(read, site)
        for binding in site.all("Bindings", "Binding"):
            name = binding.get("endpointName", "")
            _binding(read, role, binding, endpoints.get(name))
            answer = name, binding.get("hostHeader", "").lower()
            if name and answer in answers:
                wrong = f"{site.label} answers where {answers[answer]} does: endpoint '{name}', the same host header"
                read.fault(binding, "same-binding", wrong, "Give each binding of an endpoint its own hostHeader")
            answers.setdefault(answer, site.label)


def _binding(read: Document, role: Role, binding: Element, endpoint: Endpoint | None) -> None:
    name = binding.get("endpointName", "")
    if not name:
        return
    if endpoint is None and role.name not in read.torn:
        wrong = f"there is no endpoint '{name}' in role '{role.name}'"
        read.fault(binding, "unknown-endpoint", wrong, "Name one of its endpoints")
    elif endpoint is not None and endpoint.protocol in _NOT_HTTP:
        wrong = f"a site cannot answer at endpoint '{name}', whose protocol is {endpoint.protocol}"
        read.fault(binding, "binding-protocol", wrong, "Name an http or https endpoint")


def _unique_below(read: Document, parent: Element) -> None:
    """What lies below a site has a path of its own."""
    below = list(virtual_elements(parent))
    unique(read, below, "path", lambda each: each.get("name", "").replace("\\", "/").strip("/"))
    for each in below:
        _unique_below(read, each)


def _variables(read: Document, holder: Element) -> None:
    variables = list(holder.all("Environment", "Variable"))
    unique(read, variables, "variable")
    for element in variables:
        if (element.first("RoleInstanceValue") is None) == (element.get("value") is None):
            wrong = f"{element.label} needs a value or a RoleInstanceValue"
            read.fault(element, "variable-value", wrong, "Give it one of the two")
        if re.search(r"[=\0]", element.get("name", "")):
            wrong = "no environment variable can have '=' in its name"
            read.fault(element, "variable-name", wrong, "Remove it from the name")


def _imports(read: Document, role: Element) -> None:
    for element in role.all("Imports", "Import"):
        name = element.get("moduleName", "")
        if name and name not in modules.KNOWN:
            wrong = (
                f"the module '{name}' is not known here, so its settings, certificates and endpoints are not checked"
            )
            read.fault(element, "unknown-module", wrong, f"Check its name; known are {', '.join(modules.KNOWN)}")


def _probes(defined: Definition) -> None:
    read = defined.document
    elements = read.root.all("LoadBalancerProbes", "LoadBalancerProbe")
    unique(read, elements, "probe")
    for probe, element in zip(defined.probes, elements, strict=True):
        if probe.protocol == "http" and not probe.path:
            read.fault(element, "probe-path", f"{element.label} is http and has no path", 'Add path="/…" to it')
        if probe.protocol == "tcp" and probe.path is not None:
            wrong = f"{element.label} is tcp and has a path"
            read.fault(element, "probe-path", wrong, "Remove the path, or make the protocol http")


def _traffic_rules(defined: Definition) -> None:
    read = defined.document
    internal = {role.name: _internal(role) for role in defined.roles}
    for rule in read.root.all("NetworkTrafficRules", "OnlyAllowTrafficTo"):
        allowed = [each.name for each in rule.either("AllowAllTraffic", "WhenSource")]
        if len(allowed) != 1:
            wrong = "OnlyAllowTrafficTo needs AllowAllTraffic or WhenSource"
            read.fault(rule, "traffic-source", wrong, "Give it one of the two")
        for source in rule.all("WhenSource", "FromRole"):
            _traffic_role(read, source, internal)
        for place in rule.all("Destinations", "RoleEndpoint"):
            role, endpoint = place.get("roleName", ""), place.get("endpointName", "")
            is_sure = _traffic_role(read, place, internal) and role not in read.torn
            if is_sure and endpoint and endpoint not in internal[role]:
                wrong = f"a traffic rule names '{endpoint}', which is no internal endpoint of role '{role}'"
                read.fault(place, "traffic-endpoint", wrong, "Name one of its internal endpoints")


def _internal(role: Role) -> set[str]:
    return {endpoint.name for endpoint in modules.endpoints_of(role) if endpoint.kind == "internal"}


def _traffic_role(read: Document, place: Element, roles: Mapping[str, object]) -> bool:
    """Whether the role that a traffic rule names is there."""
    name = place.get("roleName", "")
    if name and name not in roles and name not in read.torn:
        read.fault(place, "traffic-role", f"a traffic rule names role '{name}', which does not exist", "Name a role")
    return name in roles


def _name(read: Document, element: Element, noun: str) -> None:
    """Services, roles and stores give their names to files and folders; a missing name is another fault."""
    name = element.get("name", "")
    if name and not names.is_name(name):
        read.fault(element, "bad-name", f"'{name}' cannot be the name of {noun}", names.RULE)
