"""ServiceConfiguration.<name>.cscfg: read into counts, values and network. What is wrong is noted in its document."""

from pathlib import Path
from typing import NamedTuple

from cloudservice import document, schema
from cloudservice.document import Document
from cloudservice.element import Element
from cloudservice.service import AccessRule, EndpointAcl, LoadBalancer, Network, RoleConfiguration

NAMESPACE = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration"
ROOT = "ServiceConfiguration"


class Configuration(NamedTuple):
    """A configuration file: its values, and the element of each role for faults found later."""

    document: Document
    service_name: str
    os_family: str
    os_version: str
    roles: dict[str, RoleConfiguration]
    elements: dict[str, Element]
    network: Network


def load(path: Path) -> Configuration:
    """Read a configuration; a file that is none raises ServiceError, other faults are noted in its document."""
    return parse(path, document.read(path))


def parse(path: Path, content: bytes) -> Configuration:
    """Read the content of a configuration, which is checked against the schema; otherwise as `load`."""
    read = document.parse(path, content, ROOT, NAMESPACE)
    schema.validate(read)
    root = read.root
    elements: dict[str, Element] = {}
    for element in root.all("Role"):
        if element.get("name"):
            elements.setdefault(element.get("name", ""), element)
    return Configuration(
        document=read,
        service_name=root.get("serviceName", ""),
        os_family=root.get("osFamily", "1").strip(),
        os_version=root.get("osVersion", "*"),
        roles={name: _role(element) for name, element in elements.items()},
        elements=elements,
        network=_network(root.first("NetworkConfiguration")),
    )


def _role(element: Element) -> RoleConfiguration:
    count = element.first("Instances")
    settings = element.all("ConfigurationSettings", "Setting")
    certificates = element.all("Certificates", "Certificate")
    return RoleConfiguration(
        instances=1 if count is None else count.number("count", 1),
        settings={each.get("name", ""): each.get("value", "") for each in settings},
        thumbprints={each.get("name", ""): each.get("thumbprint", "") for each in certificates},
        vm_name=element.get("vmName"),
    )


def _network(element: Element | None) -> Network:
    if element is None:
        return Network()
    site = element.first("VirtualNetworkSite")
    addresses = list(element.all("AddressAssignments", "InstanceAddress"))
    return Network(
        access_controls={
            each.get("name", ""): tuple(_access_rule(rule) for rule in each.all("Rule"))
            for each in element.all("AccessControls", "AccessControl")
        },
        endpoint_acls=tuple(
            EndpointAcl(each.get("role", ""), each.get("endpoint", ""), each.get("accessControl", ""))
            for each in element.all("EndpointAcls", "EndpointAcl")
        ),
        dns_servers={
            each.get("name", ""): each.get("IPAddress", "") for each in element.all("Dns", "DnsServers", "DnsServer")
        },
        virtual_network=None if site is None else site.get("name"),
        subnets={each.get("roleName", ""): _names(each, "Subnets", "Subnet") for each in addresses},
        public_ips={each.get("roleName", ""): _names(each, "PublicIPs", "PublicIP") for each in addresses},
        reserved_ips=_names(element, "AddressAssignments", "ReservedIPs", "ReservedIP"),
        load_balancers=tuple(_load_balancer(each) for each in element.all("LoadBalancers", "LoadBalancer")),
    )


def _access_rule(element: Element) -> AccessRule:
    return AccessRule(
        element.number("order", 0),
        element.get("action", ""),
        element.get("remoteSubnet", ""),
        element.get("description", ""),
    )


def _load_balancer(element: Element) -> LoadBalancer:
    front = element.first("FrontendIPConfiguration")
    if front is None:
        return LoadBalancer(element.get("name", ""), None, None)
    return LoadBalancer(element.get("name", ""), front.get("subnet"), front.get("staticVirtualNetworkIPAddress"))


def _names(element: Element, *path: str) -> tuple[str, ...]:
    return tuple(each.get("name", "") for each in element.all(*path))
