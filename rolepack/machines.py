"""invoke hosts: whether hosts.yaml is right, and what each machine says of itself."""

from typing import Any

from invoke import Context

from rolepack import reached
from rolepack.command import AS_JSON, SERVICE, command, counted, say, say_json, silent, table
from rolepack.publish import preparing
from rolepack.reached import HOST, HOSTS


@command(
    iterable=["host"],
    help={
        "service": SERVICE,
        "hosts": HOSTS,
        "host": HOST,
        "prepare": "Give hosts that lack it the Python that rolepack's own programs run with.",
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
    json: bool = False,
) -> None:
    """Check hosts.yaml, and ask each machine for its name, versions, disk, clock and rights.

    Example: invoke hosts --host web1
    """
    from cloudservice.errors import ServiceError
    from publisher import locked

    tell = silent if json else say
    with reached.reached(service, hosts, host, prepare=preparing(with_python, tell) if prepare else None) as found:
        told, faults = found.fleet.attempt(lambda session: locked.ask(session, lambda _host: {}))
        machines = {one.name: one for one in found.fleet.hosts}
    rows = [
        {
            "host": name,
            "address": machines[name].address,
            "update_domain": machines[name].update_domain,
            "roles": list(machines[name].roles),
            **one.facts,
            "skew": round(one.skew, 1),
            "locked_by": one.held.who if one.held else None,
        }
        for name, one in told.items()
    ]
    if json:
        say_json({"hosts": rows, "faults": [str(fault) for each in faults.values() for fault in each]})
    elif rows:
        heads = ("HOST", "NAME", "DOMAIN", "ROLES", "WINDOWS", "POWERSHELL", "PYTHON", "FREE", "CLOCK", "ADMINISTRATOR")
        for line in table([heads, *map(_row, rows)]):
            say(line)
    if faults:
        raise ServiceError(*(fault for each in faults.values() for fault in each))
    tell(f"{counted(rows, 'host')} answered.")


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
