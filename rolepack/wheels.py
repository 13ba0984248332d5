"""invoke lock and invoke wheels: which packages each role gets, and the files of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from invoke import Context

from rolepack import needs, reached
from rolepack.command import AS_JSON, SERVICE, command, counted, listed, say, say_json, service_folder, silent

if TYPE_CHECKING:
    from cloudservice.tells import Report, Tell
    from packager.policy import Builder, Need, Policy
    from packager.wheelhouse import Wheelhouse
    from publisher.hosts import Host


@command(
    optional=["upgrade"],
    help={
        "service": SERVICE,
        "target": needs.TARGET,
        "python": needs.PYTHON,
        "upgrade": "Take the newest versions that the requirements allow: of one PACKAGE, or without a value of all.",
        "offline": needs.OFFLINE,
        "json": AS_JSON,
    },
)
def lock(
    _context: Context,
    service: str | None = None,
    target: str = "win_amd64",
    python: str | None = None,
    upgrade: str | bool | None = None,
    offline: bool = False,
    json: bool = False,
) -> None:
    """Write down which file of each package every role gets, beside what asks for it; later commands keep to that.

    Example: invoke lock --upgrade flask
    """
    from cloudservice.errors import Fault, ServiceError
    from packager import locks, requirements, wheelhouse
    from packager.policy import Policy
    from rolepack import progress

    asked = needs.of_service(service_folder(service), target, python)
    named = () if upgrade is None else (requirements.canonical(str(upgrade)),)
    renewed = None if upgrade is True else named
    before = {role: locks.load(need.asked, need.target) for role, need in asked.items()}
    with progress.shown(quiet=json) as report:
        house = wheelhouse.prepare(asked, report, Policy(renewed, offline, wheels=False))
    known = {name for one in (*before.values(), *house.roles.values()) if one for name in one.versions}
    if renewed and not known.intersection(named):
        raise ServiceError(Fault("--upgrade", f"no role has a package '{upgrade}'", "Name one that a lock has"))
    changed = needs.keep(asked, house, silent if json else say)
    if json:
        files = {role: locks.path_of(need.asked, need.target) for role, need in asked.items()}
        say_json(
            {
                role: {
                    "lock": str(files[role].resolve()),
                    "target": {"platform": made.target.platform, "python": made.target.python},
                    "packages": made.versions,
                    "changed": role in changed,
                    "changes": changed.get(role, []),
                }
                for role, made in house.roles.items()
            }
        )
        return
    for remark in house.remarks:
        say(remark)
    same = [role for role in house.roles if role not in changed]
    if same:
        say(f"Nothing is new for {', '.join(same)}.")


@command(
    help={
        "service": SERVICE,
        "target": needs.TARGET,
        "python": needs.PYTHON,
        "offline": needs.OFFLINE,
        "output": "The folder for them (default: dist/wheelhouse in the service's folder).",
        "build_on": "Build what has C code and no wheel for Windows on this machine of hosts.yaml.",
        "json": AS_JSON,
    },
)
def wheels(
    _context: Context,
    service: str | None = None,
    target: str = "win_amd64",
    python: str | None = None,
    offline: bool = False,
    output: str | None = None,
    build_on: str | None = None,
    json: bool = False,
) -> None:
    """Put the wheels of all roles into one folder, with the lock of each, and nothing else of the service.

    Example: invoke wheels --target manylinux_2_28_x86_64
    """
    from cloudservice.files import shown
    from packager import wheelhouse
    from packager.policy import Policy
    from rolepack import progress

    root = service_folder(service)
    place = Path(output) if output else root / "dist" / wheelhouse.FOLDER
    tell = silent if json else say
    with progress.shown(quiet=json) as report:
        order = _Order(root, lambda: needs.of_service(root, target, python), Policy(offline=offline), report, tell)
        made = _gather(order) if build_on is None else _gather_with(build_on, order)
        wheelhouse.write(place, made.house)
    needs.keep(made.asked, made.house, tell)
    house = made.house
    if json:
        names = {role: [wheel.path.name for wheel in house.wheels_of(role)] for role in house.roles}
        shelved = {role: [path.name for path in paths] for role, paths in made.shelved.items()}
        say_json({"folder": str(place.resolve()), "roles": names, "shelved": shelved})
        return
    for remark in (*house.remarks, *made.remarks):
        say(remark)
    say(f"{shown(place)}/ has {counted(house.wheels, 'wheel')} for {', '.join(house.roles)}, and a lock for each role.")


class _Order(NamedTuple):
    """Which wheels to gather: `read` tells what the roles need by now."""

    root: Path
    read: "Callable[[], dict[str, Need]]"
    policy: "Policy"
    report: "Report"
    tell: "Tell"


class _Gathered(NamedTuple):
    """What the roles need and get, the wheels that are new on their shelves, and what is to be said of these."""

    asked: "dict[str, Need]"
    house: "Wheelhouse"
    shelved: "dict[str, list[Path]]"
    remarks: "list[str]"


def _gather(order: _Order) -> _Gathered:
    from packager import wheelhouse

    asked = order.read()
    return _Gathered(asked, wheelhouse.prepare(asked, order.report, order.policy), {}, [])


def _gather_with(host: str, order: _Order) -> _Gathered:
    """The same with a machine that builds what cannot be built here, for the shelves of the roles."""
    from packager import shelf, wheelhouse
    from publisher import hosts

    (there,) = hosts.chosen(reached.load(order.root, None), [host])  # told also when nothing is to be built
    asked = order.read()
    lacking = wheelhouse.lacking(asked, order.report, order.policy)
    for one in lacking:
        order.tell(f"{one.name} {one.version} for {listed(one.roles)} is built on {host}.")
    shelved: dict[str, list[Path]] = {}
    with _builder(there, order.tell) if lacking else nullcontext() as builder:
        policy = replace(order.policy, builder=builder)
        house = wheelhouse.prepare(asked, order.report, policy)
        # A wheel may need more than its sdist has told here, and that may have to be built there too.
        while put := shelf.put(asked, house.roles):
            shelved = {role: [*shelved.get(role, ()), *put.get(role, ())] for role in {**shelved, **put}}
            asked = order.read()
            house = wheelhouse.prepare(asked, order.report, policy)
    for line in _told(host, shelved):
        order.tell(line)
    return _Gathered(asked, house, shelved, shelf.remarks(house.roles))


def _told(host: str, shelved: "dict[str, list[Path]]") -> Iterator[str]:
    """What is new on the shelves, in words."""
    from cloudservice.files import shown

    if not shelved:
        yield f"Nothing had to be built on {host}."
    for paths in shelved.values():
        for path in paths:
            yield f"Put {path.name} into {shown(path.parent)}/: commit it, and nobody needs {host} for it again."


@contextmanager
def _builder(host: "Host", tell: "Tell") -> "Iterator[Builder]":
    """What builds on a machine, until the block ends."""
    from publisher import building

    with building.builder(host, reached.passwords(), tell) as build:
        yield lambda sdist, target: build(sdist, target.minor)
