"""The hosts of a service, as every command reaches them."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rolepack.command import PROGRAM, service_folder

if TYPE_CHECKING:
    from cloudservice.errors import Fault
    from publisher.fleet import Fleet
    from publisher.hosts import Hosts
    from publisher.passwords import Passwords
    from publisher.session import Prepare

HOSTS = "The file that names the machines (default: hosts.yaml in the service's folder)."
HOST = "Only this host; repeatable."
SLOT = "production or staging."
PARALLEL = "How many hosts are asked at the same time."
MANY = 8


class Reached(NamedTuple):
    """A service's folder and name, its hosts, and the sessions with them."""

    root: Path
    service: str
    hosts: "Hosts"
    fleet: "Fleet"

    @property
    def state(self) -> Path:
        """Where this machine keeps what it knows of hosts."""
        return self.root / ".rolepack" / "publish"


@contextmanager
def reached(
    service: str | None,
    hosts: str | None,
    wanted: Sequence[str] = (),
    parallel: int = MANY,
    prepare: "Prepare | None" = None,
) -> Iterator[Reached]:
    """Sessions with the hosts of a service, or with those that are wanted."""
    from cloudservice import definition, location
    from publisher import fleet
    from publisher import hosts as machines
    from publisher.session import refuse_to_prepare

    root = service_folder(service)
    found = load(root, hosts)
    name = definition.load(location.definition_file(root)).name
    chosen = machines.chosen(found, wanted)
    with fleet.opened(chosen, name, passwords(), at_once(parallel), prepare or refuse_to_prepare) as sessions:
        yield Reached(root, name, found, sessions)


def load(root: Path, given: str | None) -> "Hosts":
    """The hosts of a service."""
    from publisher import hosts

    return hosts.load(Path(given) if given else root / hosts.FILE)


def passwords() -> "Passwords":
    """Where passwords come from: on a terminal, somebody can be asked."""
    from publisher.passwords import Passwords

    def ask(prompt: str) -> str | None:
        import getpass

        return getpass.getpass(f"{prompt}: ") if sys.stdin.isatty() else None

    return Passwords(ask)


def slot(given: str) -> str:
    """The slot of an option; ServiceError if there is none of that name."""
    from cloudservice.errors import Fault, ServiceError
    from publisher.agent.values import SLOTS

    if given not in SLOTS:
        raise ServiceError(Fault("--slot", f"there is no slot '{given}'", f"Choose from {', '.join(SLOTS)}"))
    return given


def at_once(given: int) -> int:
    """How many hosts are asked at the same time; ServiceError if that is none."""
    from cloudservice.errors import Fault, ServiceError

    if given < 1:
        raise ServiceError(Fault("--parallel", f"{given} hosts at the same time are none", "Write 1 or more"))
    return given


def complain(faults: "Mapping[str, Sequence[Fault]]") -> None:
    """ServiceError with what keeps hosts from an answer, once that of the others was shown."""
    from cloudservice.errors import ServiceError

    if faults:
        raise ServiceError(*(fault for each in faults.values() for fault in each))


def confirm(question: str, yes: bool) -> None:
    """Let a person agree, unless `--yes` says so; ServiceError if nobody does."""
    from cloudservice.errors import Fault, ServiceError

    if yes:
        return
    if not sys.stdin.isatty():
        raise ServiceError(Fault(PROGRAM, "nobody is here to agree", "Add --yes"))
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)  # the output may be for a program
    if input().strip().lower() not in {"y", "yes"}:
        raise ServiceError(Fault(PROGRAM, "nothing was changed", "Run the command again when it is to be"))
