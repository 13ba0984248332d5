"""The rules of a configuration that its schema cannot say, alone and together with the definition."""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Set

from cloudservice import modules
from cloudservice.configuration import Configuration
from cloudservice.definition import Definition
from cloudservice.document import Document
from cloudservice.element import Element
from cloudservice.service import Role

_THUMBPRINT = re.compile("[0-9A-Fa-f]{40}")


def check(configured: Configuration) -> None:
    """Note what is wrong in the configuration itself."""
    read = configured.document
    _once(read, read.root.all("NetworkConfiguration"))
    _roles_once(configured)
    for role in read.root.all("Role"):
        _unique(read, role.all("ConfigurationSettings", "Setting"), role)
        certificates = role.all("Certificates", "Certificate")
        _unique(read, certificates, role)
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
    for role in defined.roles:
        if role.name not in configured.roles:
            wrong = f"role '{role.name}' of the definition is missing"
            remedy = f'Add <Role name="{role.name}"><Instances count="1" /></Role>'
            read.fault(read.root, "role-missing", wrong, remedy)
            continue
        element = configured.elements[role.name]
        _settings(configured, role, element)
        _certificates(configured, role, element)
        _public_ports(configured, role, element)
    known = {role.name: _endpoints(role) for role in defined.roles}
    for name, element in configured.elements.items():
        if name not in known:
            wrong = f"role '{name}' is not in the definition"
            read.fault(element, "role-unknown", wrong, "Remove it here, or define it")
    _network(configured, defined, known)


def _roles_once(configured: Configuration) -> None:
    read = configured.document
    for element in read.root.all("Role"):
        name = element.get("name", "")
        first = configured.elements.get(name, element)
        if first is not element:
            wrong = f"role '{name}' is already configured in line {first.line}"
            read.fault(element, "same-name", wrong, "Keep one of them")


def _unique(read: Document, elements: Iterable[Element], role: Element) -> None:
    seen: set[str] = set()
    for element in elements:
        name = element.get("name", "")
        if name and name in seen:
            wrong = f"{element.label} stands twice in {role.label}"
            read.fault(element, "same-name", wrong, "Keep one of them")
        seen.add(name)


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
    read, given = configured.document, configured.roles[role.name].settings
    brought = modules.brought(role.imports)
    for name in (*role.settings, *brought.settings):
        if name and name not in given:
            wrong = f"role '{role.name}' has no value for setting '{name}'"
            remedy = f'Add <Setting name="{name}" value="…" /> to its ConfigurationSettings'
            read.fault(element, "setting-missing", wrong, remedy)
    if set(role.imports) <= modules.KNOWN.keys():
        known = {*role.settings, *brought.settings, *brought.optional}
        for setting in element.all("ConfigurationSettings", "Setting"):
            if setting.get("name") and setting.get("name") not in known:
                wrong = f"the definition of role '{role.name}' does not declare the setting '{setting.get('name')}'"
                read.fault(setting, "setting-unknown", wrong, "Declare it there, or remove it here")


def _certificates(configured: Configuration, role: Role, element: Element) -> None:
    read, given = configured.document, configured.roles[role.name].thumbprints
    brought = modules.brought(role.imports)
    declared = (*(certificate.name for certificate in role.certificates), *brought.certificates)
    for name in declared:
        if name and name not in given:
            wrong = f"role '{role.name}' has no thumbprint for certificate '{name}'"
            remedy = f'Add <Certificate name="{name}" thumbprint="…" thumbprintAlgorithm="sha1" /> to its Certificates'
            read.fault(element, "certificate-missing", wrong, remedy)
    if set(role.imports) <= modules.KNOWN.keys():
        known = set(declared)
        for certificate in element.all("Certificates", "Certificate"):
            name = certificate.get("name", "")
            if name and name not in known:
                wrong = f"the definition of role '{role.name}' does not declare the certificate '{name}'"
                read.fault(certificate, "certificate-unknown", wrong, "Declare it there, or remove it here")


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
    controls = list(network.all("AccessControls", "AccessControl"))
    _unique(read, controls, network)
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
    _once(read, network.all("AddressAssignments", "ReservedIPs"))
    seen: set[str] = set()
    for element in network.all("AddressAssignments", "InstanceAddress"):
        name = element.get("roleName", "")
        if name and name in seen:
            wrong = f"role '{name}' has a second InstanceAddress"
            read.fault(element, "same-name", wrong, "Make them one")
        seen.add(name)


def _network(configured: Configuration, defined: Definition, endpoints: Mapping[str, Set[str]]) -> None:
    """What the network names is there: roles, endpoints (given by role), access controls, load balancers."""
    read = configured.document
    network = read.root.first("NetworkConfiguration") or Element("", {}, read.root.line, None)
    for address in network.all("AddressAssignments", "InstanceAddress"):
        _known_role(read, address, address.get("roleName", ""), endpoints)
    for acl in network.all("EndpointAcls", "EndpointAcl"):
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
            read.fault(network, "load-balancer", wrong, remedy)


def _known_role(read: Document, element: Element, name: str, roles: Mapping[str, object]) -> bool:
    if name and name not in roles:
        wrong = f"role '{name}' is not in the definition"
        read.fault(element, "network-role", wrong, "Name one of its roles")
    return name in roles


def _endpoints(role: Role) -> set[str]:
    return {endpoint.name for endpoint in (*role.endpoints, *modules.brought(role.imports).endpoints)}


def _once(read: Document, elements: Iterable[Element]) -> None:
    for again in list(elements)[1:]:
        read.fault(again, "repeated-element", f"there is a second {again.owner}", "Make them one")


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
