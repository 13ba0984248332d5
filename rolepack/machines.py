"""invoke hosts: whether hosts.yaml is right, and what each machine says of itself."""

from typing import TYPE_CHECKING, Any

from invoke import Context

from rolepack import reached
from rolepack.command import AS_JSON, SERVICE, command, counted, say, say_json, silent, table
from rolepack.publish import preparing
from rolepack.reached import HOST, HOSTS

if TYPE_CHECKING:
    from cloudservice.errors import Fault
    from publisher.hosts import Host
    from publisher.known import Known
    from rolepack.reached import Reached


@command(
    iterable=["host"],
    help={
        "service": SERVICE,
        "hosts": HOSTS,
        "host": HOST,
        "prepare": "Give hosts that lack it the Python that rolepack's own programs run with.",
        "self-test": "Prove on each host what only a real Windows can show; what is made for it is removed.",
        "with-python": "A NuGet package of Python for that (default: the host fetches one).",
        "json": AS_JSON,
    },
)
def hosts(
    _context: Context,
    host: list[str],
    service: str | None = None,
    hosts: str | None = None,
    prepare: bool = False,
    with_python: str | None = None,
    self_test: bool = False,
    json: bool = False,
) -> None:
    """Check hosts.yaml, and ask each machine for its name, versions, disk, clock and rights.

    Example: invoke hosts --host web1
    """
    from publisher import locked

    tell = silent if json else say
    with reached.reached(service, hosts, host, prepare=preparing(with_python, tell) if prepare else None) as found:
        unknown = _unknown_roles(found)
        if self_test:
            _prove(found, json)
            return
        told, faults = found.fleet.attempt(lambda session: locked.ask(session, locked.nothing))
        rows = [_told(one, told[one.name]) for one in found.fleet.hosts if one.name in told]
    _show(rows, [*unknown, *(fault for each in faults.values() for fault in each)], json)


def _unknown_roles(found: "Reached") -> "list[Fault]":
    """The roles in hosts.yaml that the definition does not have."""
    from cloudservice import definition, location
    from publisher import placement

    roles = definition.load(location.definition_file(found.root)).roles
    return list(placement.unknown(found.hosts, [role.name for role in roles]))


def _told(host: "Host", known: "Known") -> dict[str, Any]:
    """What is known of a host, for programs."""
    return {
        "host": host.name,
        "address": host.address,
        "update_domain": host.update_domain,
        "roles": list(host.roles),
        **known.facts,
        "skew": round(known.skew, 1) or 0.0,
        "locked_by": known.held.who if known.held else None,
    }


def _show(rows: list[dict[str, Any]], faults: "list[Fault]", as_json: bool) -> None:
    """Show the hosts that have answered; ServiceError with what keeps others from it."""
    from cloudservice.errors import ServiceError

    if as_json:
        say_json({"hosts": rows, "faults": [str(fault) for fault in faults]})
    elif rows:
        heads = ("HOST", "NAME", "DOMAIN", "ROLES", "WINDOWS", "POWERSHELL", "PYTHON", "FREE", "CLOCK", "ADMINISTRATOR")
        for line in table([heads, *map(_row, rows)]):
            say(line)
    if faults:
        raise ServiceError(*faults)
    if not as_json:
        say(f"{counted(rows, 'host')} answered.")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        one["host"],
        str(one["name"]),
        str(one["update_domain"]),
        " ".join(one["roles"]),
        str(one["windows"]),
        str(one["powershell"] or "-"),
        str(one["python"]),
        f"{one['free'] / 1e9:.1f} GB",
        f"{one['skew']:+.1f} s",
        "yes" if one["is_administrator"] else "no",
    )


def _prove(found: "Reached", as_json: bool) -> None:
    """Show what each host proves; ServiceError with what it does not."""
    from cloudservice.errors import Fault, ServiceError
    from publisher import proving

    proofs = proving.prove(found.fleet)
    if as_json:
        say_json(proofs)
    else:
        for line in table([(one["host"], "failed" if one["against"] else "ok", one["name"]) for one in proofs]):
            say(line)
    remedy = "Mend that before you publish there; docs/limits.md tells what depends on it"
    failed = [one for one in proofs if one["against"]]
    if failed:
        raise ServiceError(
            *(Fault(f"host '{one['host']}'", f"{one['name']}: {one['against']}", remedy) for one in failed)
        )
