"""Changes hosts, one update domain after the other, with a way back."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from cloudservice.errors import Fault, ServiceError
from cloudservice.failure import OnFailure
from cloudservice.plain import from_plain, to_plain
from cloudservice.tells import Tell
from publisher.agent.values import State
from publisher.fleet import Fleet
from publisher.hosts import Host
from publisher.session import Session
from publisher.upload import Delivery

_NOTHING: Mapping[str, Delivery] = MappingProxyType({})


class Change(NamedTuple):
    """What a host is to run, what it was to run before, and the setups that it does not have yet, by deployment."""

    before: State
    after: State
    setups: Sequence[tuple[str, str]] = ()


class Walk:
    """One walk over the hosts, by the command whose token has locked them."""

    def __init__(
        self,
        fleet: Fleet,
        token: str,
        changes: Mapping[str, Change],
        tell: Tell,
        deliveries: Mapping[str, Delivery] = _NOTHING,
    ) -> None:
        self._fleet, self._token, self._changes, self._tell = fleet, token, changes, tell
        self._deliveries = deliveries

    def go(self, on_failure: OnFailure) -> None:
        """Change every host; ServiceError if one does not come up, when what was before is back.

        Back on every host that was changed, or with `stop` on those of the update domain that has failed.
        """
        changed: list[str] = []
        for number, domain in domains(self._fleet.hosts, self._changes):
            names = [host.name for host in domain]
            self._tell(f"update domain {number}: {', '.join(names)}")
            faults = self._bring(names, {name: self._changes[name].after for name in names})
            if faults:
                back = names if on_failure == "stop" else [*changed, *names]
                faults += self._go_back(back, changed if on_failure == "stop" else [])
                raise ServiceError(*dict.fromkeys(faults))  # a host that is away is away for both
            changed += names

    def _go_back(self, back: Sequence[str], left: Sequence[str]) -> tuple[Fault, ...]:
        """Bring what was before back; returns what does not come up then."""
        empty = [
            name for name in back if not any(one.current for one in self._changes[name].before.deployments.values())
        ]
        if there := [name for name in back if name not in empty]:
            self._tell(f"it does not come up: what ran before comes back on {', '.join(there)}")
        if empty:
            self._tell(f"it does not come up, and nothing ran before: {', '.join(empty)} runs nothing again")
        faults = self._bring(back, {name: self._changes[name].before for name in back})
        if left:
            self._tell(f"{', '.join(left)} stay with what is new: publish again, or `invoke rollback`")
        return faults

    def _bring(self, names: Sequence[str], states: Mapping[str, State]) -> tuple[Fault, ...]:
        """Let hosts be what they are to be; what has not come up."""
        results, broken = self._fleet.attempt(lambda session: self._switch(session, states[session.host.name]), names)
        for name in broken:
            self._tell(f"{name}: what it runs now is not known: it goes on by itself, to the old or the new")
        faults = [fault for each in broken.values() for fault in each]
        for name, told in results.items():
            faults += [fault._replace(where=f"host '{name}', {fault.where}") for fault in told]
        return tuple(faults)

    def _switch(self, session: Session, state: State) -> list[Fault]:
        """Let a host be what it is to be; what has not come up."""
        answer = self._asked(session, state)
        with session.understanding("switch"):
            return [from_plain(Fault, fault) for fault in answer["faults"]]

    def _asked(self, session: Session, state: State) -> dict[str, Any]:
        name = session.host.name

        about: dict[str, Any] = {"token": self._token, "state": to_plain(state), "setups": self._changes[name].setups}
        delivery = self._deliveries.get(name) if state is self._changes[name].after else None
        if delivery is None:
            return session.ask("switch", "switch", telling(session, self._tell), **about)
        about["delivery"] = delivery.told
        tell = telling(session, self._tell)
        return session.converse(
            "switch", lambda: session.send("switch", delivery.frames(session.is_clean), tell, **about)
        )


def telling(session: Session, tell: Tell) -> Callable[[Mapping[str, Any]], None]:
    """Tells what a host says, with its name."""
    return lambda told: tell(f"{session.host.name}: {told.get('said', '')}")


def domains(hosts: Iterable[Host], wanted: Iterable[str]) -> list[tuple[int, list[Host]]]:
    """The hosts of each update domain that are wanted, in order."""
    names = set(wanted)
    there = [host for host in hosts if host.name in names]
    numbers = sorted({host.update_domain for host in there})
    return [(number, [host for host in there if host.update_domain == number]) for number in numbers]
