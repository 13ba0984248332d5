"""What status, logs, restart and exec do with a service on its own machines."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rolepack import reached
from rolepack.command import say

if TYPE_CHECKING:
    from cloudservice.errors import Fault
    from emulator.logs import Line, Wanted
    from publisher.known import Known
    from publisher.session import Session

REMOTE = "Of the machines in hosts.yaml, and not of the emulator."


def status(service: str | None, hosts: str | None, slot: str) -> tuple[dict[str, Any], dict[str, tuple["Fault", ...]]]:
    """What runs in a slot, as the emulator tells its status, with the host of each instance; who does not answer."""
    with reached.reached(service, hosts) as found:
        slot = reached.slot(slot)
        answers, faults = found.fleet.attempt(lambda session: session.ask("status", "asking", slot=slot))
        service_name = found.fleet.service
    instances = [
        {**one, "host": name, "version": (answer["entry"] or {}).get("version")}
        for name, answer in answers.items()
        for one in answer["instances"]
    ]
    entries = [answer["entry"] for answer in answers.values() if answer["entry"]]
    now = {
        "service": service_name,
        "slot": slot,
        "deployment": " ".join(sorted({entry["version"] for entry in entries})) or None,
        "configuration": next(
            (answer["configuration"] for answer in answers.values() if answer["configuration"]), None
        ),
        "endpoints": dict(_endpoints(instances)),
        "left_out": [],
        "refused": [],
        "instances": sorted(instances, key=lambda one: (one["role"], int(one["name"].rpartition("_")[2]))),
    }
    return now, faults


def logs(service: str | None, hosts: str | None, slot: str, wanted: "Wanted", follow: bool) -> Iterator["Line"]:
    """The lines in the logs of a slot's instances, which are fetched first as far as they are new."""
    from cloudservice.errors import Fault, ServiceError
    from emulator import logs as kept
    from emulator.run import state_folder
    from publisher.mirror import Mirror

    with contextlib.ExitStack() as stack:
        found = stack.enter_context(reached.reached(service, hosts))
        folder = found.state / "logs" / reached.slot(slot)
        mirror = Mirror(found.fleet, slot, state_folder(folder))
        faults = mirror.fetch()
        if not mirror.has_any:
            remedy = f"Publish to {slot}, or see `invoke status --remote`"
            raise ServiceError(*faults, Fault(slot, "there are no logs", remedy))
        if follow:
            stack.enter_context(mirror.followed())
        yield from kept.lines(folder, wanted, follow)
        if faults:
            raise ServiceError(*faults)


def shown(text: str) -> str:
    """A line of a host's log for a terminal, which it must not command."""
    from publisher.escaped import escaped

    return escaped(text)


def restart(service: str | None, hosts: str | None, slot: str, roles: Sequence[str], names: Sequence[str]) -> None:
    """Recycle instances on their hosts, one update domain at a time; ServiceError with what does not come up."""
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.plain import from_plain
    from publisher import walk
    from rolepack.publish import holding

    reached.slot(slot)
    with reached.reached(service, hosts) as found, holding(found, "restart instances") as there:
        wanted = _chosen(there.known, slot, roles, names)
        for _, domain in walk.domains(found.fleet.hosts, wanted):

            def ask(session: "Session") -> list[Fault]:
                about = {"token": there.held.token, "slot": slot, "instances": wanted[session.host.name]}
                answer = session.ask("restart", "restart", walk.telling(session, say), once=True, **about)
                return [from_plain(Fault, fault) for fault in answer["faults"]]

            results = found.fleet.each(ask, [host.name for host in domain])
            faults = [fault for each in results.values() for fault in each]
            if faults:
                raise ServiceError(*faults)


def execute(service: str | None, hosts: str | None, slot: str, instance: str, words: Sequence[str]) -> int:
    """Run a command as an instance on its host sees the world; its exit code."""
    from publisher import locked

    reached.slot(slot)
    with reached.reached(service, hosts) as found:
        there = locked.look(found.fleet, locked.nothing)
        (host,) = _chosen(there, slot, (), [instance])

        def show(told: Mapping[str, Any]) -> None:
            printed = bytes.fromhex(told["printed"])
            if sys.stdout.isatty():  # a terminal must not be commanded; a file gets what was printed
                printed = "\n".join(map(shown, printed.decode("utf-8", "replace").split("\n"))).encode()
            sys.stdout.buffer.write(printed)
            sys.stdout.buffer.flush()

        asked = {"slot": slot, "instance": instance, "words": list(words)}
        results = found.fleet.each(lambda session: session.ask("exec", "exec", show, once=True, **asked), [host])
    return int(results[host]["code"])


def _chosen(
    there: Mapping[str, "Known"], slot: str, roles: Sequence[str], names: Sequence[str]
) -> dict[str, list[str]]:
    """The instances that are meant, by host; ServiceError if one is not there."""
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.instances import role_of

    known = {name: host for host, one in there.items() for name in one.instances[slot]}
    known_roles = {role_of(name) for name in known}
    faults = [
        Fault("--instance", f"there is no instance '{name}' in {slot}", f"Choose from {', '.join(known) or 'none'}")
        for name in names
        if name not in known
    ]
    faults += [
        Fault("--role", f"no role '{role}' runs in {slot}", f"Choose from {', '.join(sorted(known_roles)) or 'none'}")
        for role in roles
        if role not in known_roles
    ]
    if faults:
        raise ServiceError(*faults)
    chosen: dict[str, list[str]] = {}
    for name, host in known.items():
        if name in names or role_of(name) in roles:
            chosen.setdefault(host, []).append(name)
    return chosen


def _endpoints(instances: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for one in instances:
        for name, at in one["endpoints"].items():
            yield f"{one['name']}/{name}", f"{at['protocol']}://{at['address']}:{at['port']}/"
