"""invoke lock and invoke wheels: which packages each role gets, and the files of them."""

from pathlib import Path

from invoke import Context

from rolepack import needs
from rolepack.command import AS_JSON, SERVICE, command, counted, say, say_json, service_folder, silent


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
    asked = needs.of_service(root, target, python)
    place = Path(output) if output else root / "dist" / wheelhouse.FOLDER
    with progress.shown(quiet=json) as report:
        house = wheelhouse.prepare(asked, report, Policy(offline=offline))
        wheelhouse.write(place, house)
    needs.keep(asked, house, silent if json else say)
    if json:
        names = {role: [wheel.path.name for wheel in house.wheels_of(role)] for role in house.roles}
        say_json({"folder": str(place.resolve()), "roles": names})
        return
    for remark in house.remarks:
        say(remark)
    say(f"{shown(place)}/ has {counted(house.wheels, 'wheel')} for {', '.join(house.roles)}, and a lock for each role.")
