"""The definition as the SDK packaged it: what the fabric sets up, and nothing of what RoleModel.xml says."""

from xml.etree import ElementTree

from cloudservice import markup, modules
from cloudservice.instances import stores
from cloudservice.rolemodel import NAMESPACE
from cloudservice.service import Endpoint, Role, Service

_SCHEMA = "2015-04.2.6"
_ENDPOINTS = {"input": "InputEndpoint", "internal": "InternalEndpoint", "instance-input": "InstanceInputEndpoint"}
_BOM = b"\xef\xbb\xbf"


def render(service: Service, roles: tuple[Role, ...]) -> bytes:
    """The document of the roles that are packaged."""
    attributes = {"name": service.name, "schemaVersion": _SCHEMA}
    if service.update_domains != 5:
        attributes["upgradeDomainCount"] = str(service.update_domains)
    if service.topology_change_discovery:
        attributes["topologyChangeDiscovery"] = service.topology_change_discovery
    root = ElementTree.Element("ServiceDefinition", {"xmlns": NAMESPACE, **attributes})
    if service.probes:
        _probes(root, service)
    for role in roles:
        _role(root, role)
    if service.traffic_rules:
        _traffic(root, service, {role.name for role in roles})
    return _BOM + markup.render(root)


def _probes(root: ElementTree.Element, service: Service) -> None:
    holder = ElementTree.SubElement(root, "LoadBalancerProbes")
    for probe in service.probes:
        numbers = {"port": probe.port, "intervalInSeconds": probe.interval, "timeoutInSeconds": probe.timeout}
        attributes = {"name": probe.name, "protocol": probe.protocol}
        if probe.path is not None:
            attributes["path"] = probe.path
        attributes |= {name: str(number) for name, number in numbers.items() if number is not None}
        ElementTree.SubElement(holder, "LoadBalancerProbe", attributes)


def _role(root: ElementTree.Element, role: Role) -> None:
    element = ElementTree.SubElement(root, "WebRole" if role.kind == "web" else "WorkerRole", name=role.name)
    if role.vmsize != "Small":
        element.set("vmsize", role.vmsize)
    if not role.enable_native_code_execution:
        element.set("enableNativeCodeExecution", "false")
    resources = ElementTree.SubElement(element, "LocalResources")
    for store in stores(role):
        clean = str(store.clean_on_role_recycle).lower()
        attributes = {"name": store.name, "sizeInMB": str(store.size_in_mb), "cleanOnRoleRecycle": clean}
        ElementTree.SubElement(resources, "LocalStorage", attributes)
    settings = ElementTree.SubElement(element, "ConfigurationSettings")
    brought = modules.brought(role.imports)
    for name in sorted({*role.settings, *brought.settings}):
        ElementTree.SubElement(settings, "Setting", name=name)
    endpoints = ElementTree.SubElement(element, "Endpoints")
    for endpoint in modules.endpoints_of(role):
        _endpoint(endpoints, endpoint)
    certificates = ElementTree.SubElement(element, "Certificates")
    for certificate in role.certificates:
        attributes = {
            "name": certificate.name,
            "storeLocation": certificate.store_location,
            "storeName": certificate.store_name,
            "permissionLevel": certificate.permission_level,
        }
        ElementTree.SubElement(certificates, "Certificate", attributes)
    for name in brought.certificates:
        place = {"storeLocation": "LocalMachine", "storeName": "My"}
        ElementTree.SubElement(certificates, "Certificate", {"name": name, **place})


def _endpoint(parent: ElementTree.Element, endpoint: Endpoint) -> None:
    """An endpoint with its local port in words, and ports as ranges."""
    element = ElementTree.SubElement(parent, _ENDPOINTS[endpoint.kind], name=endpoint.name, protocol=endpoint.protocol)
    if endpoint.kind == "input":
        numbers = {"port": endpoint.port, "idleTimeoutInMinutes": endpoint.idle_timeout_in_minutes}
        texts = {
            "certificate": endpoint.certificate,
            "localPort": "*" if endpoint.local_port is None else str(endpoint.local_port),
            "loadBalancerProbe": endpoint.probe,
            "loadBalancer": endpoint.load_balancer,
            "loadBalancerDistribution": endpoint.distribution,
            "ignoreRoleInstanceStatus": "true" if endpoint.ignore_role_instance_status else None,
        }
        found = {name: str(value) for name, value in {**numbers, **texts}.items() if value is not None}
        element.attrib.update(found)
        return
    ranges = {(one.first, one.last) for one in endpoint.ports}
    if endpoint.port is not None:
        ranges.add((endpoint.port, endpoint.port))
    if endpoint.kind == "instance-input":
        element.set("localPort", str(endpoint.local_port))
        element = ElementTree.SubElement(element, "AllocatePublicPortFrom")
    for first, last in sorted(ranges):
        ElementTree.SubElement(element, "FixedPortRange", min=str(first), max=str(last))


def _traffic(root: ElementTree.Element, service: Service, there: set[str]) -> None:
    """The traffic rules, as far as they concern roles that are there."""
    holder = ElementTree.SubElement(root, "NetworkTrafficRules")
    for rule in service.traffic_rules:
        targets = [(role, endpoint) for role, endpoint in rule.destinations if role in there]
        sources = None if rule.sources is None else [role for role in rule.sources if role in there]
        if not targets or sources == []:
            continue
        element = ElementTree.SubElement(holder, "OnlyAllowTrafficTo")
        destinations = ElementTree.SubElement(element, "Destinations")
        for role, endpoint in targets:
            ElementTree.SubElement(destinations, "RoleEndpoint", endpointName=endpoint, roleName=role)
        if sources is None:
            ElementTree.SubElement(element, "AllowAllTraffic")
            continue
        source = ElementTree.SubElement(element, "WhenSource", matches="AnyRule")
        for role in sources:
            ElementTree.SubElement(source, "FromRole", roleName=role)
