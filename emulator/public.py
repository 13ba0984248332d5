"""The public side of a deployment: one port of this machine for each input endpoint."""

import os
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from cloudservice.errors import Fault, ServiceError
from cloudservice.instances import Address, Deployment, Instance
from cloudservice.service import Endpoint, Service
from emulator import launch, ports
from emulator.balancer import Balancer
from emulator.shared import BACKLOG, IS_POSSIBLE, SharedPort
from emulator.shell import Listening

_LAST_PORT = 65535
Say = Callable[[str], None]


@dataclass(slots=True)
class PublicEndpoint:
    """An input endpoint and where it is served.

    Where instances accept connections themselves (`shared`), the balancer has only those for which none was Ready.
    """

    role: str
    endpoint: Endpoint
    balancer: Balancer
    port: int
    shared: SharedPort | None
    slots: dict[str, int] = field(default_factory=dict)
    """The slots of the shared port by instance."""
    ready: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Role and endpoint, as in `frontend/Endpoint1`."""
        return f"{self.role}/{self.endpoint.name}"

    @property
    def url(self) -> str:
        """Where it is served."""
        is_http = self.endpoint.protocol in {"http", "https"}
        return f"{'http' if is_http else 'tcp'}://{ports.LOOPBACK}:{self.port}"

    def slot(self, instance: str) -> int:
        """The socket at which the instance itself listens at the public port; there must be a shared one."""
        shared = self.shared
        assert shared is not None  # noqa: S101 - what the caller has looked at
        if instance not in self.slots:
            unused = set(range(1, len(shared.sockets))) - set(self.slots.values())
            self.slots[instance] = unused.pop() if unused else shared.add()
        return shared.sockets[self.slots[instance]].fileno()

    async def close(self) -> None:
        """Serve nothing any more."""
        await self.balancer.close()
        if self.shared:
            self.shared.close()


class PublicSide:
    """The public endpoints of a service, and the sockets that its sites inherit."""

    def __init__(self, say: Say) -> None:
        self.endpoints: list[PublicEndpoint] = []
        self._say = say
        self._own: dict[tuple[str, str], socket.socket] = {}

    async def open(self, service: Service, roles: Collection[str]) -> None:
        """Serve every input endpoint of the named roles; a taken port gives the next free one, and that is told.

        What is served already stays as it is.
        """
        there = {(public.role, public.endpoint) for public in self.endpoints}
        for role in service.roles:
            for endpoint in role.endpoints:
                if role.name not in roles or endpoint.kind != "input" or endpoint.port is None:
                    continue
                if (role.name, endpoint) in there:
                    continue
                name = f"{role.name}/{endpoint.name}"
                if endpoint.protocol == "udp":
                    self._say(f"{name}: udp is not balanced; use the ports of its instances (`invoke status`)")
                    continue
                by_site = endpoint.name in launch.served(role)
                if role.kind == "web" and endpoint.protocol != "tcp" and not by_site:
                    self._say(
                        f"{name}: only the first site of a role is served here, and it is not bound to this endpoint"
                    )
                    continue
                self.endpoints.append(await self._open(role.name, endpoint, by_site))

    async def close_others(self, service: Service, roles: Collection[str]) -> None:
        """Serve no more what is no endpoint of the named roles."""
        wanted = {(role.name, endpoint) for role in service.roles if role.name in roles for endpoint in role.endpoints}
        for public in [public for public in self.endpoints if (public.role, public.endpoint) not in wanted]:
            self.endpoints.remove(public)
            await public.close()

    def sockets(self, service: Service, deployment: Deployment, instance: Instance) -> Iterator[Listening]:
        """The sockets that the site of an instance inherits: at its own addresses, and at the public ports.

        ServiceError if an address was taken by another program meanwhile.
        """
        if not IS_POSSIBLE:
            return
        role = service.role(instance.role)
        for name in launch.served(role):
            at = deployment.endpoints[instance.name][name]
            if (instance.name, name) not in self._own:
                self._own[instance.name, name] = _listening(instance.name, at)
            yield Listening(name, self._own[instance.name, name].fileno())
        for public in self.endpoints:
            if public.endpoint not in role.endpoints:  # of the version before, or of the next one
                public.slots.pop(instance.name, None)
            elif public.role == role.name and public.shared:
                yield Listening(public.endpoint.name, public.slot(instance.name))

    def refresh(self, ready: Callable[[str, str], Sequence[tuple[str, Address]]]) -> None:
        """Send new connections to the instances that are Ready by now.

        `ready` gives their names and addresses for a role and an endpoint of it.
        """
        for public in self.endpoints:
            there = ready(public.role, public.endpoint.name)
            names = tuple(name for name, _ in there)
            public.balancer.backends = [address for _, address in there]
            if public.shared and names != public.ready:
                by_source = (public.endpoint.distribution or "").lower().startswith("sourceip")
                public.shared.choose([public.slots[name] for name in names if name in public.slots], by_source)
            gone, public.ready = set(public.ready) - set(names), names
            for name in gone:
                self._take_over(public, name)

    def forget(self, instance: str) -> None:
        """Let the sockets of an instance go that will not come back."""
        for key in [key for key in self._own if key[0] == instance]:
            self._own.pop(key).close()
        for public in self.endpoints:
            public.slots.pop(instance, None)

    def take_over(self, instance: str) -> None:
        """Serve the connections that were given to an instance that has not accepted them."""
        for public in self.endpoints:
            self._take_over(public, instance)

    async def close(self) -> None:
        """Serve nothing any more."""
        for public in self.endpoints:
            await public.close()
        for one in self._own.values():
            one.close()

    def _take_over(self, public: PublicEndpoint, instance: str) -> None:
        if public.shared and instance in public.slots:
            public.balancer.accept_from(public.shared.sockets[public.slots[instance]])

    async def _open(self, role: str, endpoint: Endpoint, by_site: bool) -> PublicEndpoint:
        wanted = ports.public(endpoint.port or 0)
        for port in range(wanted, _LAST_PORT + 1):
            try:
                shared = SharedPort(ports.LOOPBACK, port) if by_site and IS_POSSIBLE else None
                own = shared.sockets[0] if shared else _bound(port)
            except OSError:
                continue
            balancer = Balancer(is_http=endpoint.protocol in {"http", "https"})
            await balancer.open(own)
            public = PublicEndpoint(role, endpoint, balancer, port, shared)
            if port != wanted:
                self._say(f"{public.name}: port {wanted} is taken, so {port} is used")
            return public
        raise ServiceError(Fault(f"{role}/{endpoint.name}", f"no port from {wanted} upwards is free", "Free one"))


def _bound(port: int) -> socket.socket:
    """A socket of our own; on Windows SO_REUSEADDR would let it share a taken port."""
    own = socket.socket()
    try:
        if os.name == "posix":
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((ports.LOOPBACK, port))
        own.listen(BACKLOG)
    except OSError:
        own.close()
        raise
    return own


def _listening(instance: str, at: Address) -> socket.socket:
    own = socket.socket()
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.bind((at.address, at.port))
        own.listen(BACKLOG)
        own.setblocking(False)
    except OSError as error:
        own.close()
        remedy = "Start the service again: it chooses other ports then"
        raise ServiceError(Fault(instance, f"port {at.port} cannot be used: {error.strerror}", remedy)) from None
    return own
