"""The public side of a deployment: a port of this machine for each input endpoint; what goes there is balance's."""

import socket
from collections.abc import Callable, Collection, Iterable, Iterator

from cloudservice.errors import Fault, ServiceError
from cloudservice.instances import Address, Deployment, Instance
from cloudservice.service import Endpoint, Role, Service
from emulator import ports, sites
from emulator.shared import BACKLOG, IS_POSSIBLE, SharedPort
from emulator.shell import Listening

_LAST_PORT = 65535
Say = Callable[[str], None]
Key = tuple[str, str, str | None, int | None, bool]


class PublicEndpoint:
    """An input endpoint and where it is served.

    `own` is the emulator's socket. Where instances accept connections themselves (`shared`), it gets only those for
    which none was Ready. `instance` is the one that an instance input endpoint leads to.
    """

    def __init__(
        self,
        role: str,
        endpoint: Endpoint,
        instance: str | None,
        own: socket.socket,
        shared: SharedPort | None,
    ) -> None:
        self.role = role
        self.endpoint = endpoint
        self.instance = instance
        self.own = own
        self.shared = shared
        self.port = int(own.getsockname()[1])
        self.slots: dict[str, int] = {}
        """The slots of the shared port by instance."""

    @property
    def name(self) -> str:
        """Role and endpoint, as in `frontend/Endpoint1`; the instance instead of the role where there is one."""
        return f"{self.instance or self.role}/{self.endpoint.name}"

    @property
    def key(self) -> Key:
        """What stays the same while only attributes of the endpoint change."""
        return _key(self.role, self.endpoint, self.instance)

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"{self.endpoint.protocol}://{ports.LOOPBACK}:{self.port}"

    def slot(self, instance: str) -> int:
        """The socket at which the instance itself listens at the public port; there must be a shared one."""
        shared = self.shared
        assert shared is not None  # noqa: S101 - what the caller has looked at
        if instance not in self.slots:
            unused = set(range(1, len(shared.sockets))) - set(self.slots.values())
            self.slots[instance] = unused.pop() if unused else shared.add()
        return shared.sockets[self.slots[instance]].fileno()

    def close(self) -> None:
        """Listen no more."""
        self.own.close()
        if self.shared:
            self.shared.close()


class PublicPorts:
    """The public endpoints of a service, and the sockets that its sites inherit."""

    def __init__(self, say: Say) -> None:
        self.endpoints: list[PublicEndpoint] = []
        self.say = say
        self._own: dict[tuple[str, str], socket.socket] = {}

    def open(self, service: Service, instances: Collection[Instance]) -> None:
        """Listen for the input endpoints of these instances; a taken port gives the next free one, and that is told.

        Where it listens already all stays as it is.
        """
        there = {public.key: public for public in self.endpoints}
        for role, endpoint, instance in _endpoints(service, instances):
            if known := there.get(_key(role.name, endpoint, instance and instance.name)):
                known.endpoint = endpoint  # which may have another probe or distribution now
                continue
            by_site = endpoint.name in sites.served(role)
            if role.kind == "web" and endpoint.protocol in {"http", "https"} and not by_site:
                why = "no site of the role is bound to this endpoint"
                self.say(f"{role.name}/{endpoint.name}: {why}")
                continue
            self.endpoints.append(self._open(role.name, endpoint, by_site, instance))

    def others(self, service: Service, instances: Collection[Instance]) -> list[PublicEndpoint]:
        """What is no endpoint of these instances."""
        wanted = {
            _key(role.name, endpoint, instance and instance.name)
            for role, endpoint, instance in _endpoints(service, instances)
        }
        return [one for one in self.endpoints if one.key not in wanted]

    def close(self, endpoints: Iterable[PublicEndpoint]) -> None:
        """Listen no more for some endpoints."""
        for public in list(endpoints):
            self.endpoints.remove(public)
            public.close()

    def sockets(self, service: Service, deployment: Deployment, instance: Instance) -> Iterator[Listening]:
        """The sockets that the site of an instance inherits: at its own addresses, and at the public ports.

        ServiceError if an address was taken by another program meanwhile.
        """
        if not IS_POSSIBLE:
            return
        role = service.role(instance.role)
        for name in sites.served(role):
            at = deployment.endpoints[instance.name][name]
            if (instance.name, name) not in self._own:
                self._own[instance.name, name] = _listening(instance.name, at)
            yield Listening(name, self._own[instance.name, name].fileno())
        for public in self.endpoints:
            keys = {_key(role.name, endpoint, public.instance) for endpoint in role.endpoints}
            if public.key not in keys:  # of another role, of the version before, or of the next one
                public.slots.pop(instance.name, None)
            elif public.shared:
                yield Listening(public.endpoint.name, public.slot(instance.name))

    def forget(self, instance: str) -> None:
        """Let the sockets of an instance go that will not come back."""
        for key in [key for key in self._own if key[0] == instance]:
            self._own.pop(key).close()
        for public in self.endpoints:
            public.slots.pop(instance, None)

    def close_all(self) -> None:
        """Listen no more."""
        self.close(self.endpoints)
        for one in self._own.values():
            one.close()

    def _open(self, role: str, endpoint: Endpoint, by_site: bool, instance: Instance | None) -> PublicEndpoint:
        wanted = ports.public(_port(endpoint, instance))
        for port in range(wanted, _LAST_PORT + 1):
            try:
                shared = SharedPort(ports.LOOPBACK, port) if by_site and IS_POSSIBLE and instance is None else None
                own = shared.sockets[0] if shared else _bound(port, endpoint.protocol)
            except OSError:
                continue
            public = PublicEndpoint(role, endpoint, instance.name if instance else None, own, shared)
            if port != wanted:
                self.say(f"{public.name}: port {wanted} is taken, so {port} is used")
            return public
        raise ServiceError(Fault(f"{role}/{endpoint.name}", f"no port from {wanted} upwards is free", "Free one"))


def _endpoints(service: Service, instances: Collection[Instance]) -> Iterator[tuple[Role, Endpoint, Instance | None]]:
    """What is public: input endpoints of the roles, and instance input endpoints of each instance."""
    roles = {instance.role for instance in instances}
    for role in service.roles:
        for endpoint in role.endpoints if role.name in roles else ():
            if endpoint.kind == "input" and endpoint.port is not None:
                yield role, endpoint, None
            elif endpoint.kind == "instance-input":
                yield from ((role, endpoint, instance) for instance in instances if instance.role == role.name)


def _key(role: str, endpoint: Endpoint, instance: str | None) -> Key:
    return role, endpoint.name, instance, endpoint.port, endpoint.protocol == "udp"


def _port(endpoint: Endpoint, instance: Instance | None) -> int:
    """The public port that the definition wants; of instance input endpoints each instance has one of the range."""
    if instance is None:
        return endpoint.port or 0
    declared = [port for each in endpoint.ports for port in range(each.first, each.last + 1)]
    return declared[instance.number] if instance.number < len(declared) else declared[-1]


def _bound(port: int, protocol: str) -> socket.socket:
    """A socket of our own, which listens if it is one for tcp."""
    is_udp = protocol == "udp"
    own = socket.socket(type=socket.SOCK_DGRAM) if is_udp else ports.stream()
    try:
        own.bind((ports.LOOPBACK, port))
        if not is_udp:
            own.listen(BACKLOG)
        own.setblocking(False)
    except OSError:
        own.close()
        raise
    return own


def _listening(instance: str, at: Address) -> socket.socket:
    try:
        return _bound(at.port, at.protocol)
    except OSError as error:
        remedy = "Start the service again: it chooses other ports then"
        raise ServiceError(Fault(instance, f"port {at.port} cannot be used: {error.strerror}", remedy)) from None
