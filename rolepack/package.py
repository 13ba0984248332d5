"""invoke package: one deployable file."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from rolepack.command import AS_JSON, CONFIGURATION, SERVICE, command, counted, say, say_json, service_folder

if TYPE_CHECKING:
    from packager.wheelhouse import Wheelhouse


@command(
    help={
        "service": SERVICE,
        "configuration": f"{CONFIGURATION} It is copied beside the bundle. Default: Cloud, or the only one.",
        "target": "Platform that the wheels must fit: win_amd64, win_arm64, manylinux_2_28_x86_64, "
        "manylinux_2_28_aarch64, host. Default: win_amd64.",
        "python": "CPython version that the wheels must fit, 3.12 or 3.12.10. Default: 3.12.",
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
    python: str = "3.12",
    with_python: str | None = None,
    output: str | None = None,
    json: bool = False,
) -> None:
    """Package every role with its sources, its wheels and a lock into one .cspkg.

    Example: invoke package --configuration Cloud --python 3.12
    """
    from cloudservice import folder
    from cloudservice.files import shown, write_whole
    from packager import bundle, interpreter, requirements, scripts, store, wheelhouse
    from packager.target import parse
    from rolepack import progress

    root = service_folder(service)
    configuration = configuration or folder.usual_configuration(root, "Cloud")
    loaded = folder.load(root, configuration)
    fitting = parse(target, python)
    path = Path(output) if output else root / "dist" / f"{loaded.name}.cspkg"
    left_out = bundle.left_out(loaded)
    brought = Path(with_python) if with_python else None
    if brought is not None:
        interpreter.check(brought, fitting)
    roles = [role for role in loaded.roles if role.name not in left_out]
    asked = {role.name: requirements.of(role, loaded.sources[role.name], fitting) for role in roles}
    with progress.shown(quiet=json) as report:
        wheels = wheelhouse.prepare({name: needs for name, needs in asked.items() if needs}, fitting, report)
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
        told |= {"size": path.stat().st_size, "sha256": store.hash_of(path), "left_out": left_out}
        say_json({**told, **_wheels(wheels, asked)})
        return
    for name, reason in left_out.items():
        say(f"{name} is left out: {reason}.")
    for name in wheels.roles:
        script = scripts.foreign(loaded.sources[name])
        if script is not None:
            wrong = f"{name}: {shown(script)} is not rolepack's"
            say(f"{wrong}: on a host it installs packages as it says, not these wheels.")
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    with_what = f"{counted(wheels.wheels, 'wheel')}{f' and {brought.name}' if brought else ''}"
    what = f"{', '.join(asked)} with {with_what} for {fitting.label}"
    say(f"Packaged {what} into {shown(path)} ({size}).")
    say(f"Configuration {configuration} lies beside it: {shown(beside)}.")
    say("Azure's own fabric cannot start this bundle: its runtime may not be shipped. It is for rolepack's own tools.")


def _wheels(wheels: "Wheelhouse", roles: Iterable[str]) -> dict[str, object]:
    """The target and the wheels of each role, ready for JSON."""
    return {
        "target": {"platform": wheels.target.platform, "python": wheels.target.python},
        "roles": {name: [wheel.path.name for wheel in wheels.roles.get(name, ())] for name in roles},
    }
