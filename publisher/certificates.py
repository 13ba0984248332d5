"""The certificates that a definition declares come into the stores of the hosts, if they are not there."""

from typing import Any

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.plain import to_plain
from publisher import setup
from publisher.agent.values import Certificate
from publisher.fleet import Fleet
from publisher.passwords import Passwords
from publisher.session import Session
from publisher.setup import Plan

_MOST = 1024 * 1024


def install(fleet: Fleet, plan: Plan, passwords: Passwords) -> None:
    """Look on each host, and install what it lacks; ServiceError if hosts.yaml has no file for it."""
    wanted = {host.name: setup.certificates(plan, host) for host in fleet.hosts}
    fleet.each(
        lambda session: _install(session, plan, wanted[session.host.name], passwords),
        [name for name, ones in wanted.items() if ones],
    )


def _install(session: Session, plan: Plan, wanted: list[Certificate], passwords: Passwords) -> None:
    asked = [{"certificate": to_plain(one)} for one in wanted]
    missing = session.ask("certify", "certificates", certificates=asked)["missing"]
    brought = [_brought(plan, one, passwords) for one in wanted if one.name in missing]
    if brought:
        session.ask("certify", "certificates", certificates=brought)


def _brought(plan: Plan, one: Certificate, passwords: Passwords) -> dict[str, Any]:
    path = plan.hosts.certificates.get(one.name)
    where = shown(plan.hosts.path)
    if path is None:
        wrong = f"certificate '{one.name}' is not on the hosts, and no file is named for it"
        remedy = f"Add it to `certificates`, as `{one.name}: file.pfx`, or install it there"
        raise ServiceError(Fault(where, wrong, remedy))
    if path.stat().st_size > _MOST:
        raise ServiceError(Fault(shown(path), "it is too large to be a .pfx", "Name another file"))
    password = passwords.of_certificate(one.name)
    return {"certificate": to_plain(one), "content": path.read_bytes().hex(), "password": password}
