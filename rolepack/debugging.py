"""`--debug ROLE[=PORT]`: which roles run under debugpy, and the settings with which VS Code attaches to them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emulator.run import Run

_FIRST_PORT = 5678
_LAST_PORT = 65535
_LAUNCH = Path(".vscode") / "launch.json"


def prepare(told: "Run", wanted: Sequence[str], offline: bool) -> "Run":
    """The run with the roles under debugpy that are wanted as ROLE or ROLE=PORT; ServiceError if one cannot be."""
    from cloudservice.errors import Fault, ServiceError
    from packager import environment
    from rolepack import progress

    faults: list[Fault] = []
    ports: dict[str, int | None] = {}
    for each in wanted:
        name, _, given = each.partition("=")
        if name not in told.roles:
            faults.append(Fault("--debug", f"no role '{name}' runs here", f"Choose from {', '.join(told.roles)}"))
        elif given and not (given.isascii() and given.isdigit() and 0 < int(given) <= _LAST_PORT):
            faults.append(Fault("--debug", f"'{each}' has no port", "Write ROLE=PORT, as in frontend=5678"))
        else:
            ports[name] = int(given) if given else None
    if faults:
        raise ServiceError(*faults)
    runtimes = dict(told.runtimes)
    taken = {port + number for name, port in ports.items() if port for number in range(_count(told, name))}
    with progress.shown() as report:
        for name, port in ports.items():
            kit = environment.debug_kit(runtimes[name].python, report, offline)
            chosen = port or _free(_count(told, name), taken)
            taken |= set(range(chosen, chosen + _count(told, name)))
            runtimes[name] = runtimes[name]._replace(debugger=kit, debug_port=chosen)
    return told._replace(runtimes=runtimes)


def attachments(told: "Run") -> list[dict[str, Any]]:
    """A configuration of VS Code for each instance that is debugged."""
    from cloudservice.instances import instances

    return [
        {
            "name": f"rolepack: {instance.name}",
            "type": "debugpy",
            "request": "attach",
            "connect": {"host": "127.0.0.1", "port": port + instance.number},
            "justMyCode": False,
        }
        for instance in instances(told.service, told.roles)
        if (port := told.runtimes[instance.role].debug_port) is not None
    ]


def write(root: Path, made: Sequence[dict[str, Any]]) -> Path:
    """Put the configurations into the service's launch.json, in place of those of the same names.

    ServiceError if what is there is no plain JSON: comments in it would be lost.
    """
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.files import shown, write_whole

    path = root / _LAUNCH
    found: Any = {"version": "0.2.0", "configurations": []}
    if path.exists():
        try:
            found = json.loads(path.read_bytes())
            others = [one for one in found["configurations"] if one["name"] not in {each["name"] for each in made}]
        except (ValueError, KeyError, TypeError):
            wrong = "it is not plain JSON with a list of configurations"
            raise ServiceError(Fault(shown(path), wrong, "Paste into it what is printed without --vscode")) from None
        found["configurations"] = others
    found["configurations"] += made
    write_whole(path, json.dumps(found, indent=4) + "\n")
    return path


def _count(told: "Run", role: str) -> int:
    return told.service.configured[role].instances


def _free(count: int, taken: set[int]) -> int:
    """The first of so many free ports in a row."""
    from emulator import ports

    return next(
        first
        for first in range(_FIRST_PORT, _LAST_PORT)
        if all(port not in taken and ports.is_free(port) for port in range(first, first + count))
    )
