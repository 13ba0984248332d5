"""The values: a service, its roles and what is configured for them. Nothing here reads a file.

They are named tuples, since every command and every start of the emulator pays for the making of these classes: a
dataclass that is frozen takes six times as long.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Kind = Literal["web", "worker"]
TaskType = Literal["simple", "foreground", "background"]
EndpointKind = Literal["input", "internal", "instance-input"]
_NONE: Mapping[str, Any] = MappingProxyType({})


class PortRange(NamedTuple):
    """Ports from `first` to `last`, both of them in it."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many ports there are."""
        return max(0, self.last - self.first + 1)


class Endpoint(NamedTuple):
    """A place where a role listens.

    `port` is the public port of an input endpoint and the fixed port of an internal one, if it has any; `ports` are the
    ranges of an internal endpoint, and the public ports of an instance input endpoint, one for each instance.
    `local_port` is what the role itself would bind in the cloud. None means that the fabric chooses.
    """

    name: str
    kind: EndpointKind
    protocol: str
    port: int | None = None
    local_port: int | None = None
    ports: tuple[PortRange, ...] = ()
    certificate: str | None = None
    probe: str | None = None
    load_balancer: str | None = None
    ignore_role_instance_status: bool = False
    distribution: str | None = None
    idle_timeout_in_minutes: int | None = None


class Certificate(NamedTuple):
    """A certificate that a role wants in a store of its machine."""

    name: str
    store_location: str
    store_name: str
    permission_level: str


class Variable(NamedTuple):
    """An environment variable: a fixed value, or an xpath into the role environment."""

    name: str
    value: str | None
    xpath: str | None


class Task(NamedTuple):
    """A startup task and the variables that only it sees."""

    command_line: str
    task_type: TaskType
    execution_context: str
    environment: tuple[Variable, ...]


class LocalStorage(NamedTuple):
    """A folder that the fabric gives to each instance."""

    name: str
    size_in_mb: int
    clean_on_role_recycle: bool


class Binding(NamedTuple):
    """Where a site answers: an endpoint of its role and, if it is not the only one there, a host header."""

    name: str
    endpoint: str
    host_header: str


class Virtual(NamedTuple):
    """An application or a directory below a site or another one; `physical_directory` is as for a site."""

    name: str
    is_application: bool
    physical_directory: str
    below: tuple["Virtual", ...]


class Site(NamedTuple):
    """A web site of a web role; `physical_directory` is relative to the definition, None means the role's folder."""

    name: str
    physical_directory: str | None
    bindings: tuple[Binding, ...]
    below: tuple[Virtual, ...]

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The names of the endpoints that it is bound to."""
        return tuple(binding.endpoint for binding in self.bindings)


class Content(NamedTuple):
    """A folder that is packaged besides the role's own; `source` is relative to the definition, with %VARIABLES%."""

    source: str
    destination: str


class Assembly(NamedTuple):
    """The .NET assembly of a NetFxEntryPoint."""

    name: str
    target_framework: str


class Role(NamedTuple):
    """What the definition says of one role; `entry_point` is the command line of a ProgramEntryPoint."""

    name: str
    kind: Kind
    vmsize: str
    endpoints: tuple[Endpoint, ...]
    settings: tuple[str, ...]
    certificates: tuple[Certificate, ...]
    local_storage: tuple[LocalStorage, ...]
    tasks: tuple[Task, ...]
    environment: tuple[Variable, ...]
    entry_point: str | None
    sites: tuple[Site, ...]
    imports: tuple[str, ...] = ()
    contents: tuple[Content, ...] = ()
    assembly: Assembly | None = None
    startup_priority: int = 0
    execution_context: str = "limited"
    enable_native_code_execution: bool = True


class Probe(NamedTuple):
    """How the load balancer asks an instance whether it is well; `path` is that of an http probe, times in seconds."""

    name: str
    protocol: str
    path: str | None
    port: int | None
    interval: int
    timeout: int


class TrafficRule(NamedTuple):
    """Internal endpoints, as pairs of role and endpoint, and the roles that may reach them; None means every role."""

    destinations: tuple[tuple[str, ...], ...]
    sources: tuple[str, ...] | None


class AccessRule(NamedTuple):
    """Permits or denies a subnet (CIDR)."""

    order: int
    action: str
    remote_subnet: str
    description: str


class EndpointAcl(NamedTuple):
    """Which access control counts for an endpoint of a role."""

    role: str
    endpoint: str
    access_control: str


class LoadBalancer(NamedTuple):
    """A load balancer inside the virtual network."""

    name: str
    subnet: str | None
    address: str | None


class Network(NamedTuple):
    """The network of one configuration: names of subnets and public addresses are given by role."""

    access_controls: Mapping[str, tuple[AccessRule, ...]] = _NONE
    endpoint_acls: tuple[EndpointAcl, ...] = ()
    dns_servers: Mapping[str, str] = _NONE
    virtual_network: str | None = None
    subnets: Mapping[str, tuple[str, ...]] = _NONE
    public_ips: Mapping[str, tuple[str, ...]] = _NONE
    reserved_ips: tuple[str, ...] = ()
    load_balancers: tuple[LoadBalancer, ...] = ()


class RoleConfiguration(NamedTuple):
    """What one configuration file says of one role."""

    instances: int
    settings: Mapping[str, str]
    thumbprints: Mapping[str, str] = _NONE
    vm_name: str | None = None


class Source(NamedTuple):
    """Where the files of a role lie, the project file that describes them if there is one, and their language.

    `language` is `Python`, `.NET`, `Node.js`, `PHP` or, where nothing shows it, empty; `startup` is the program that a
    Python project starts, if it says so.
    """

    folder: Path
    project: Path | None
    language: str
    startup: str = ""


class Service(NamedTuple):
    """A definition joined with one configuration: every role has both, and a source."""

    name: str
    configuration: str
    update_domains: int
    roles: tuple[Role, ...]
    configured: Mapping[str, RoleConfiguration]
    sources: Mapping[str, Source]
    probes: tuple[Probe, ...] = ()
    traffic_rules: tuple[TrafficRule, ...] = ()
    topology_change_discovery: str | None = None
    os_family: str = "1"
    os_version: str = "*"
    network: Network = Network()

    def role(self, name: str) -> Role:
        """The role of that name; KeyError if there is none."""
        for role in self.roles:
            if role.name == name:
                return role
        raise KeyError(name)
