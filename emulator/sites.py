"""The sites of a web role as its host is told of them: where they answer, and which folders they are made of."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cloudservice.instances import Address
from cloudservice.service import Role, Virtual
from emulator.run import Run

SITE_HOST = Path(__file__).parent / "hosts" / "site.py"
PROCESSES = 2
"""Processes of an application that serve requests at a time, unless its web.config says otherwise."""
CONFIGS = ("web.emulator.config", "web.config")


def served(role: Role) -> list[str]:
    """The endpoints at which a web role's sites answer: those they are bound to, or else every http endpoint."""
    http = [endpoint.name for endpoint in role.endpoints if endpoint.protocol in {"http", "https"}]
    bound = {name for site in role.sites for name in site.endpoints}
    return [] if role.kind != "web" else [name for name in http if name in bound] or http


def folders(role: Role) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Each site, and each application and directory below it, by the names down to it; whether it is no directory."""
    for site in role.sites:
        yield (site.name,), True
        yield from _below((site.name,), site.below)


def key(names: Iterable[str]) -> str:
    """Under which a folder stands in `Run.sites`."""
    return "/".join(names)


def told(run: Run, role: Role, addresses: Mapping[str, Address]) -> list[dict[str, Any]]:
    """What `hosts/running.py` is told as `sites`."""
    found = run.sites[role.name]
    if not role.sites:
        return [{"bindings": [], "places": [["", str(run.sources[role.name]), True]]}]
    sites = []
    for site in role.sites:
        bindings = [
            [addresses[one.endpoint].port, one.host_header] for one in site.bindings if one.endpoint in addresses
        ]
        places = [
            ["".join(f"/{name}" for name in names[1:]), str(found[key(names)]), is_application]
            for names, is_application in folders(role)
            if names[0] == site.name
        ]
        sites.append({"bindings": bindings, "places": places})
    return sites


def _below(above: tuple[str, ...], virtuals: Iterable[Virtual]) -> Iterator[tuple[tuple[str, ...], bool]]:
    for one in virtuals:
        names = (*above, one.name)
        yield names, one.is_application
        yield from _below(names, one.below)
