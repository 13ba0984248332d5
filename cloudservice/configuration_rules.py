"""The rules of a configuration that its schema cannot say, alone and together with the definition."""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence, Set

from cloudservice import modules
from cloudservice.configuration import Configuration
from cloudservice.definition import Definition
from cloudservice.document import Document
from cloudservice.element import Element
from cloudservice.repeats import once, unique
from cloudservice.service import Role

_THUMBPRINT = re.compile("[0-9A-Fa-f]{40}")


def check(configured: Configuration) -> None:
    """Note what is wrong in the configuration itself."""
    read = configured.document
    once(read, read.root.all("NetworkConfiguration"))
    unique(read, read.root.all("Role"), "role")
    for role in read.root.all("Role"):
        unique(read, role.all("ConfigurationSettings", "Setting"), "setting")
        certificates = role.all("Certificates", "Certificate")
        unique(read, certificates, "certificate")
        _thumbprints(read, certificates)
    network = read.root.first("NetworkConfiguration")
    if network is not None:
        _access_controls(read, network)
        _addresses(read, network)


def check_pair(defined: Definition, configured: Configuration) -> None:
    """Note what does not go together with the definition."""
    read = configured.document
    if defined.name and configured.service_name and configured.service_name != defined.name:
        wrong = f"serviceName is '{configured.service_name}', but the definition's name is '{defined.name}'"
        read.fault(read.root, "service-name", wrong, "Make them equal")
    known = {role.name: _endpoints(role) for role in defined.roles}
    torn = defined.document.torn | read.torn
    missing = {role.name: role for role in defined.roles if role.name not in configured.roles and role.name not in torn}
    for name, element in configured.elements.items():
        if name not in known and name not in torn:
            meant = read.meant(name, missing)
            missing.pop(meant or "", None)
            remedy = _instead(meant, "Remove it here, or define it")
            read.fault(element, "role-unknown", f"role '{name}' is not in the definition", remedy)
    for role in missing.values():
        remedy = (
            f'Add <Role name="{role.name}"><Instances count="1" /></Role>{" with its settings" * bool(role.settings)}'
        )
        read.fault(read.root, "role-missing", f"role '{role.name}' of the definition is missing", remedy)
    for role in defined.roles:
        if role.name in configured.roles:
            element = configured.elements[role.name]
            _public_ports(configured, role, element)
            if role.name not in defined.document.torn:
                _settings(configured, role, element)
                _certificates(configured, role, element)
    _network(configured, defined, known)


def _thumbprints(read: Document, certificates: Iterable[Element]) -> None:
    """What is copied from a window of Windows begins with an invisible character."""
    for element in certificates:
        text = element.get("thumbprint")
        if text is not None and not _THUMBPRINT.fullmatch(text):
            wrong = f"{element.label} has {f'the thumbprint {text!a}' if text else 'no thumbprint'}"
            remedy = "Write the 40 hexadecimal digits of its SHA-1, and nothing else, before it is deployed"
            read.fault(element, "thumbprint", wrong, remedy)


def _settings(configured: Configuration, role: Role, element: Element) -> None:
    """The settings with a value are those of the definition and of the imported modules, as far as they are known."""
    read, given = configured.document, element.all("ConfigurationSettings", "Setting")
    brought = modules.brought(role.imports)
    declared = (*role.settings, *brought.settings)
    for name in _missing(read, role, given, declared, {*declared, *brought.optional}):
        wrong = f"role '{role.name}' has no value for setting '{name}'"
        remedy = f'Add <Setting name="{name}" value="…" /> to its ConfigurationSettings'
        read.fault(element, "setting-missing", wrong, remedy)


def _certificates(configured: Configuration, role: Role, element: Element) -> None:
    read, given = configured.document, element.all("Certificates", "Certificate")
    declared = (*(one.name for one in role.certificates), *modules.brought(role.imports).certificates)
    for name in _missing(read, role, given, declared, {*declared}):
        wrong = f"role '{role.name}' has no thumbprint for certificate '{name}'"
        remedy = f'Add <Certificate name="{name}" thumbprint="…" thumbprintAlgorithm="sha1" /> to its Certificates'
        read.fault(element, "certificate-missing", wrong, remedy)


def _missing(
    read: Document, role: Role, given: Sequence[Element], declared: Iterable[str], known: Set[str]
) -> Iterable[str]:
    """The declared names that are not given, after noting what is given and not known.

    What is not known may be one of the missing ones misspelt; that one is then told once.
    """
    there = {element.get("name", ""): element for element in given if element.get("name")}
    missing = {name: None for name in declared if name and name not in there}
    for name, element in there.items() if modules.are_known(role) else ():
        if name not in known:
            meant = read.meant(name, missing)
            missing.pop(meant or "", None)
            noun = element.name.lower()
            wrong = f"the definition of role '{role.name}' does not declare the {noun} '{name}'"
            read.fault(element, f"{noun}-unknown", wrong, _instead(meant, "Declare it there, or remove it here"))
    return missing if role.name not in read.torn else ()


def _instead(meant: str | None, remedy: str) -> str:
    return f"Write '{meant}', if that was meant; otherwise {remedy[0].lower()}{remedy[1:]}" if meant else remedy


def _public_ports(configured: Configuration, role: Role, element: Element) -> None:
    """Each instance takes a public port of an instance input endpoint."""
    read, count = configured.document, configured.roles[role.name].instances
    for endpoint in role.endpoints:
        there = sum(ports.size for ports in endpoint.ports)
        if endpoint.kind == "instance-input" and 0 < there < count:
            where = element.first("Instances")
            wrong = f"role '{role.name}' has {count} instances, but endpoint '{endpoint.name}' has {there} public ports"
            remedy = "Widen its FixedPortRange in the definition, or run fewer instances"
            read.fault(element if where is None else where, "range-too-small", wrong, remedy)


def _access_controls(read: Document, network: Element) -> None:
    controls = network.all("AccessControls", "AccessControl")
    unique(read, controls, "access control")
    for control in controls:
        orders: set[int | None] = set()
        for rule in control.all("Rule"):
            order = rule.number("order")
            if order in orders:
                wrong = f"{control.label} has two rules of order {order}"
                read.fault(rule, "same-order", wrong, "Give each rule an order of its own")
            orders.add(order)
            if rule.get("remoteSubnet") and not _is_subnet(rule.get("remoteSubnet", "")):
                wrong = f"'{rule.get('remoteSubnet')}' is no subnet"
                read.fault(rule, "bad-subnet", wrong, "Write it as 10.0.0.0/8")


def _addresses(read: Document, network: Element) -> None:
    places = [
        *((each, "IPAddress") for each in network.all("Dns", "DnsServers", "DnsServer")),
        *(
            (each, "staticVirtualNetworkIPAddress")
            for each in network.all("LoadBalancers", "LoadBalancer", "FrontendIPConfiguration")
        ),
    ]
    for element, attribute in places:
        text = element.get(attribute)
        if text and not _is_address(text):
            read.fault(element, "bad-address", f"'{text}' is no IP address", "Write it as 10.0.0.4")
    once(read, network.all("AddressAssignments", "ReservedIPs"))
    addresses = network.all("AddressAssignments", "InstanceAddress")
    unique(read, addresses, "InstanceAddress of role", lambda each: each.get("roleName", ""))


def _network(configured: Configuration, defined: Definition, endpoints: Mapping[str, Set[str]]) -> None:
    """What the network names is there: roles, endpoints (given by role), access controls, load balancers."""
    read = configured.document
    network = read.root.first("NetworkConfiguration")
    for address in network.all("AddressAssignments", "InstanceAddress") if network else ():
        _known_role(read, address, address.get("roleName", ""), endpoints)
    for acl in network.all("EndpointAcls", "EndpointAcl") if network else ():
        name, endpoint, control = acl.get("role", ""), acl.get("endpoint", ""), acl.get("accessControl", "")
        if _known_role(read, acl, name, endpoints) and endpoint and endpoint not in endpoints[name]:
            wrong = f"there is no endpoint '{endpoint}' in role '{name}'"
            read.fault(acl, "acl-endpoint", wrong, "Name one of its endpoints")
        if control and control not in configured.network.access_controls:
            wrong = f"there is no AccessControl '{control}'"
            read.fault(acl, "acl-control", wrong, "Add it to AccessControls, or name one that is there")
    balancers = {balancer.name for balancer in configured.network.load_balancers}
    for owner, each in ((role, each) for role in defined.roles for each in role.endpoints):
        if each.load_balancer and each.load_balancer not in balancers:
            wrong = f"{owner.name}/{each.name} names the load balancer '{each.load_balancer}', which is not here"
            remedy = "Add it to LoadBalancers of the NetworkConfiguration"
            read.fault(network or read.root, "load-balancer", wrong, remedy)


def _known_role(read: Document, element: Element, name: str, roles: Mapping[str, object]) -> bool:
    if name and name not in roles:
        remedy = _instead(read.meant(name, roles), "Name one of its roles")
        read.fault(element, "network-role", f"role '{name}' is not in the definition", remedy)
    return name in roles


def _endpoints(role: Role) -> set[str]:
    return {endpoint.name for endpoint in modules.endpoints_of(role)}


def _is_subnet(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
