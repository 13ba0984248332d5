"""Where the connections of the public ports go: to the instances that are Ready, whoever accepts them."""

from collections.abc import Callable, Iterable, Sequence

from cloudservice.instances import Address
from cloudservice.service import Endpoint
from emulator.balancer import Balancer
from emulator.datagrams import DatagramBalancer
from emulator.public import PublicEndpoint, PublicPorts

Ready = Callable[[str, Endpoint], Sequence[tuple[str, Address]]]
"""The names and addresses of the instances that may get connections, for a role and an endpoint of it."""


class Balance:
    """Serves the public ports of a service."""

    def __init__(self, public: PublicPorts, ready: Ready) -> None:
        self._public = public
        self._ready = ready
        self._served: dict[PublicEndpoint, _Served] = {}

    async def serve(self) -> None:
        """Serve what is public by now."""
        for endpoint in self._public.endpoints:
            if endpoint not in self._served:
                balancer = DatagramBalancer() if endpoint.endpoint.protocol == "udp" else Balancer()
                await balancer.open(endpoint.own)
                self._served[endpoint] = _Served(endpoint, balancer)

    def refresh(self) -> None:
        """Send new connections to the instances that are Ready by now."""
        for one in self._served.values():
            one.direct(self._ready)

    def take_over(self, instance: str) -> None:
        """Serve the connections that were given to an instance that has not accepted them."""
        for one in self._served.values():
            one.take_over(instance)

    async def close(self, endpoints: Iterable[PublicEndpoint]) -> None:
        """Serve some endpoints no more."""
        for endpoint in endpoints:
            served = self._served.pop(endpoint, None)
            if served:
                await served.balancer.close()


class _Served:
    """A public endpoint, its balancer, and the instances that were Ready when that was last asked."""

    def __init__(self, public: PublicEndpoint, balancer: Balancer | DatagramBalancer) -> None:
        self.balancer = balancer
        self._public = public
        self._ready: tuple[str, ...] = ()

    def direct(self, ready: Ready) -> None:
        public = self._public
        there = [one for one in ready(public.role, public.endpoint) if public.instance in {None, one[0]}]
        names = tuple(name for name, _ in there)
        if isinstance(self.balancer, Balancer):
            self.balancer.is_http = public.endpoint.protocol == "http"  # in https nothing can be said unasked
        self.balancer.direct([address for _, address in there])
        if public.shared and names != self._ready:
            by_source = (public.endpoint.distribution or "").lower().startswith("sourceip")
            public.shared.choose([public.slots[name] for name in names if name in public.slots], by_source)
        gone, self._ready = set(self._ready) - set(names), names
        for name in gone:
            self.take_over(name)

    def take_over(self, instance: str) -> None:
        public = self._public
        if public.shared and instance in public.slots and isinstance(self.balancer, Balancer):
            self.balancer.accept_from(public.shared.sockets[public.slots[instance]])
