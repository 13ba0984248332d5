"""invoke package: one deployable file."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from invoke import Context

from rolepack import inputs, needs
from rolepack.command import (
    AS_JSON,
    CONFIGURATION,
    PROGRAM,
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
    from cloudservice.service import Service
    from packager.memo import Inputs
    from packager.signature import Private
    from packager.wheelhouse import Wheelhouse


@command(
    help={
        "service": SERVICE,
        "configuration": f"{CONFIGURATION} It is copied beside the bundle. Default: Cloud, or the only one.",
        "target": needs.TARGET,
        "python": needs.PYTHON,
        "offline": needs.OFFLINE,
        "with_python": "A Python package (.nupkg or .zip) that the bundle brings along, for hosts without a network.",
        "sign": "A private key in PEM to sign the bundle with, for `invoke verify`. Its password, if it has one, is in "
        "the variable ROLEPACK_KEY_PASSWORD.",
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
    sign: str | None = None,
    output: str | None = None,
    json: bool = False,
) -> None:
    """Package every role with its sources, its wheels and a lock into one .cspkg.

    Example: invoke package --configuration Cloud --python 3.12
    """
    from packager.memo import Memo

    root = service_folder(service)
    memo = Memo(root / ".rolepack" / "package.json", configuration, target, python, with_python, sign, output)
    told = memo.recall()
    if told is not None and not json:
        say("Nothing has changed since the last packaging.")
    if told is None:
        wanted = _Wanted(root, configuration, target, python, offline, with_python, sign, output)
        began = memo.begin()
        told, made_of = _make(wanted, quiet=json)
        memo.remember(began, made_of, told)
    if json:
        from cloudservice.files import sha256_of

        say_json({**told["json"], "sha256": sha256_of(Path(told["json"]["package"]))})
        return
    for line in told["lines"]:
        say(line)


class _Wanted(NamedTuple):
    """The service's folder and the options of the command."""

    root: Path
    configuration: str | None
    target: str
    python: str | None
    offline: bool
    with_python: str | None
    sign: str | None
    output: str | None


def _make(wanted: _Wanted, quiet: bool) -> tuple[dict[str, Any], "Inputs"]:
    """Package; what is to be told of it, for people and for programs, and what it was made from."""
    from cloudservice import folder, location
    from cloudservice.files import write_whole
    from packager import bundle, interpreter, sbom, suspects, wheelhouse
    from packager.memo import Inputs
    from packager.policy import Policy
    from rolepack import options, progress

    root = wanted.root
    configuration = wanted.configuration or folder.usual_configuration(root, "Cloud")
    loaded = folder.load(root, configuration)
    path = Path(wanted.output) if wanted.output else location.bundle_file(root, loaded.name)
    _check_output(path, root, loaded)
    asked = needs.of_roles(root, loaded, wanted.target, wanted.python)
    brought = Path(wanted.with_python) if wanted.with_python else None
    if brought is not None:
        for fitting in {need.target.label: need.target for need in asked.values()}.values():
            interpreter.check(brought, fitting)
    key = _key(wanted.sign)
    hosting = options.load(root).hosted(loaded.roles)
    with progress.shown(quiet) as report:
        wheels = wheelhouse.prepare(asked, report, Policy(offline=wanted.offline))
        needs.keep(asked, wheels, silent if quiet else say)
        planned = bundle.plan(root, loaded, wheels, brought, hosting)
        materials = sbom.of(loaded, wheels)
        bundle.write(path, planned.having(sbom.NAME, materials), report, key)
    beside = path.parent / folder.configuration_file(root, configuration).name
    write_whole(beside, folder.configuration_file(root, configuration).read_bytes())
    bill = path.with_name(path.stem + sbom.ENDING)
    write_whole(bill, materials)
    made = _Made(
        loaded, bundle.left_out(loaded), path, beside, bill, wheels, brought, suspects.remarks(planned), tuple(hosting)
    )
    told = {"lines": list(_lines(made)), "json": _json(made)}
    given = [Path(one) for one in (wanted.with_python, wanted.sign) if one]
    files = [*inputs.of_service(root, loaded), *inputs.of_needs(asked.values()), *given]
    return told, Inputs(files, inputs.variables(loaded, asked.values()), (path, beside, bill))


def _check_output(path: Path, root: Path, loaded: "Service") -> None:
    """ServiceError if the bundle would replace what is none, or go into the next one."""
    from cloudservice import folder
    from cloudservice.errors import Fault, ServiceError

    if path.suffix.lower() != ".cspkg":
        raise ServiceError(Fault("--output", f"'{path}' is no name for a bundle", "End it in .cspkg"))
    for role in loaded.roles:
        source = loaded.sources[role.name]
        places = [source.folder, *folder.virtual_folders(root, role, source).values()]
        if any(path.resolve().is_relative_to(place.resolve()) for place in places):
            wrong = f"'{path}' lies in the folder of role '{role.name}', so that the next bundle would have it"
            raise ServiceError(Fault("--output", wrong, "Choose another folder"))


def _key(path: str | None) -> "Private | None":
    """The key to sign with, if one is named."""
    if path is None:
        return None
    from packager import signature

    return signature.load_private(Path(path))


class _Made(NamedTuple):
    """A bundle, the configuration and the bill of materials beside it, what they were made of, and what looks wrong.

    `left_out` tells why roles are not in it, by name.
    """

    service: "Service"
    left_out: dict[str, str]
    path: Path
    beside: Path
    bill: Path
    wheels: "Wheelhouse"
    brought: Path | None
    warnings: list[str]
    hosted: tuple[str, ...]
    """The roles that App Service hosts."""

    @property
    def roles(self) -> list[str]:
        """The names of the roles in it."""
        return [role.name for role in self.service.roles if role.name not in self.left_out]


def _lines(made: _Made) -> Iterable[str]:
    """What people are told."""
    from cloudservice.files import shown
    from packager import scripts
    from packager.here import MINOR

    wheels = made.wheels
    for name, reason in made.left_out.items():
        yield f"{name} is left out: {reason}."
    yield from wheels.remarks
    yield from made.warnings
    for name in wheels.roles:
        script = scripts.foreign(made.service.sources[name])
        if script is not None:
            wrong = f"{name}: {shown(script)} is not rolepack's"
            yield f"{wrong}: on a host it installs packages as it says, not these wheels."
    for name in made.hosted:
        place = shown(made.service.sources[name].folder)
        minor = wheels.roles[name].target.minor if name in wheels.roles else MINOR
        command = f"{PROGRAM} webapp-package {place} --prebuilt --runtime 'PYTHON|{minor}'"
        yield f"{name} is hosted by App Service: `{command}` makes its zip."
    beside = f"{shown(made.beside)}, {shown(made.bill)}"
    size = f"{made.path.stat().st_size / 1e6:.1f} MB"
    with_what = f"{counted(wheels.wheels, 'wheel')}{f' and {made.brought.name}' if made.brought else ''}"
    labels = dict.fromkeys(lock.target.label for lock in wheels.roles.values())
    what = f"{', '.join(made.roles)} with {with_what}{f' for {listed(labels)}' if labels else ''}"
    yield f"Packaged {what} into {shown(made.path)} ({size})."
    yield f"Configuration {made.service.configuration} and the bill of materials lie beside it: {beside}."
    yield "Azure's own fabric cannot start this bundle: its runtime may not be shipped. `invoke emulate --package` can."


def _json(made: _Made) -> dict[str, object]:
    """What programs are told, but for the bundle's hash: most packagings need not read it again."""
    locks = made.wheels.roles
    files = {name: [wheel.path.name for wheel in made.wheels.wheels_of(name)] for name in locks}
    return {
        "service": made.service.name,
        "package": str(made.path.resolve()),
        "configuration": str(made.beside.resolve()),
        "size": made.path.stat().st_size,
        "sbom": str(made.bill.resolve()),
        "left_out": made.left_out,
        "warnings": made.warnings,
        "targets": {
            name: {"platform": lock.target.platform, "python": lock.target.python} for name, lock in locks.items()
        },
        "roles": {name: files.get(name, []) for name in made.roles},
    }
