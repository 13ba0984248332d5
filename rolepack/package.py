"""invoke package: one deployable file."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from rolepack import needs
from rolepack.command import (
    AS_JSON,
    CONFIGURATION,
    SERVICE,
    command,
    counted,
    listed,
    say,
    say_json,
    service_folder,
    silent,
)

if TYPE_CHECKING:
    from packager.wheelhouse import Wheelhouse


@command(
    help={
        "service": SERVICE,
        "configuration": f"{CONFIGURATION} It is copied beside the bundle. Default: Cloud, or the only one.",
        "target": needs.TARGET,
        "python": needs.PYTHON,
        "offline": needs.OFFLINE,
        "with_python": "A Python package (.nupkg or .zip) that the bundle brings along, for hosts without a network.",
        "output": "The file to make (default: dist/SERVICE.cspkg in the service's folder).",
        "json": AS_JSON,
    },
)
def package(
    _context: Context,
    service: str | None = None,
    configuration: str | None = None,
    target: str = "win_amd64",
    python: str | None = None,
    offline: bool = False,
    with_python: str | None = None,
    output: str | None = None,
    json: bool = False,
) -> None:
    """Package every role with its sources, its wheels and a lock into one .cspkg.

    Example: invoke package --configuration Cloud --python 3.12
    """
    from cloudservice import folder
    from cloudservice.files import sha256_of, shown, write_whole
    from packager import bundle, interpreter, scripts, wheelhouse
    from packager.policy import Policy
    from rolepack import progress

    root = service_folder(service)
    configuration = configuration or folder.usual_configuration(root, "Cloud")
    loaded = folder.load(root, configuration)
    path = Path(output) if output else root / "dist" / f"{loaded.name}.cspkg"
    left_out = bundle.left_out(loaded)
    roles = [role for role in loaded.roles if role.name not in left_out]
    asked = needs.of_roles(root, loaded, roles, target, python)
    brought = Path(with_python) if with_python else None
    if brought is not None:
        for fitting in {need.target.label: need.target for need in asked.values()}.values():
            interpreter.check(brought, fitting)
    with progress.shown(quiet=json) as report:
        wheels = wheelhouse.prepare(asked, report, Policy(offline=offline))
        needs.keep(asked, wheels, silent if json else say)
        planned = bundle.plan(root, loaded, wheels, brought)
        bundle.write(path, planned, report)
    beside = path.parent / folder.configuration_file(root, configuration).name
    write_whole(beside, folder.configuration_file(root, configuration).read_bytes())
    if json:
        told: dict[str, object] = {
            "service": loaded.name,
            "package": str(path.resolve()),
            "configuration": str(beside.resolve()),
        }
        told |= {"size": path.stat().st_size, "sha256": sha256_of(path), "left_out": left_out}
        say_json({**told, **_wheels(wheels, [role.name for role in roles])})
        return
    for name, reason in left_out.items():
        say(f"{name} is left out: {reason}.")
    for remark in wheels.remarks:
        say(remark)
    for name in wheels.roles:
        script = scripts.foreign(loaded.sources[name])
        if script is not None:
            wrong = f"{name}: {shown(script)} is not rolepack's"
            say(f"{wrong}: on a host it installs packages as it says, not these wheels.")
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    with_what = f"{counted(wheels.wheels, 'wheel')}{f' and {brought.name}' if brought else ''}"
    labels = dict.fromkeys(lock.target.label for lock in wheels.roles.values())
    what = f"{', '.join(role.name for role in roles)} with {with_what}{f' for {listed(labels)}' if labels else ''}"
    say(f"Packaged {what} into {shown(path)} ({size}).")
    say(f"Configuration {configuration} lies beside it: {shown(beside)}.")
    say("Azure's own fabric cannot start this bundle: its runtime may not be shipped. It is for rolepack's own tools.")


def _wheels(wheels: "Wheelhouse", roles: Iterable[str]) -> dict[str, object]:
    """The target and the wheels of each role, ready for JSON."""
    targets = {name: lock.target for name, lock in wheels.roles.items()}
    files = {name: [wheel.path.name for wheel in wheels.wheels_of(name)] for name in wheels.roles}
    return {
        "targets": {name: {"platform": one.platform, "python": one.python} for name, one in targets.items()},
        "roles": {name: files.get(name, []) for name in roles},
    }
