"""The hosts of a service, asked at the same time."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from cloudservice.errors import Fault, ServiceError
from publisher.hosts import Host
from publisher.passwords import Passwords
from publisher.session import Prepare, Session, refuse_to_prepare

T = TypeVar("T")


class Fleet:
    """Sessions with hosts, of which so many are asked in parallel."""

    def __init__(self, service: str, sessions: Iterable[Session], parallel: int) -> None:
        self.service = service
        self._sessions = {one.host.name: one for one in sessions}
        self._parallel = parallel

    @property
    def hosts(self) -> list[Host]:
        """The hosts, in the order of the file."""
        return [one.host for one in self._sessions.values()]

    def each(self, act: Callable[[Session], T], among: Iterable[str] | None = None) -> dict[str, T]:
        """Do something with all hosts, or some; ServiceError with the faults of every host where it fails."""
        results, faults = self.attempt(act, among)
        if faults:
            raise ServiceError(*(fault for each in faults.values() for fault in each))
        return results

    def attempt(
        self, act: Callable[[Session], T], among: Iterable[str] | None = None
    ) -> tuple[dict[str, T], dict[str, tuple[Fault, ...]]]:
        """The results by host, and the faults by host."""
        wanted = list(self._sessions if among is None else among)
        results: dict[str, T] = {}
        faults: dict[str, tuple[Fault, ...]] = {}
        with ThreadPoolExecutor(max(1, min(self._parallel, len(wanted)))) as pool:
            futures = {name: pool.submit(act, self._sessions[name]) for name in wanted}
            try:
                for name, future in futures.items():
                    try:
                        results[name] = future.result()
                    except ServiceError as error:
                        faults[name] = error.faults
            except BaseException:
                # Whoever waits for a host stops waiting; what the host does, it goes on with.
                pool.shutdown(wait=False, cancel_futures=True)
                for name in wanted:
                    self._sessions[name].interrupt()
                raise
        return results, faults

    @property
    def asked(self) -> list[str]:
        """The hosts that were asked anything."""
        return [name for name, one in self._sessions.items() if one.round_trips]

    @property
    def round_trips(self) -> dict[str, int]:
        """How often each host was asked."""
        return {name: one.round_trips for name, one in self._sessions.items()}

    def close(self) -> None:
        """End every session."""
        self.attempt(lambda session: session.close())


@contextmanager
def opened(
    hosts: Iterable[Host],
    service: str,
    passwords: Passwords,
    parallel: int,
    prepare: Prepare = refuse_to_prepare,
) -> Iterator[Fleet]:
    """Sessions with hosts, which connect when they are first asked and end with the block.

    ServiceError if a password is missing; all of them are found first, since one may have to be typed.
    """
    faults: list[Fault] = []
    sessions = []
    for host in hosts:
        try:
            sessions.append(Session(host, passwords.of_host(host), service, prepare))
        except ServiceError as error:
            faults += error.faults
    if faults:
        raise ServiceError(*faults)
    fleet = Fleet(service, sessions, parallel)
    try:
        yield fleet
    finally:
        fleet.close()
