"""What the emulator is to run: a service or a bundle, with its environments made and its roles chosen."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rolepack.command import PROGRAM, say, service_folder

if TYPE_CHECKING:
    from cloudservice.appservice import Hosting
    from cloudservice.service import Service
    from cloudservice.tells import Report, Tell
    from emulator.run import Image, Run, Runtime
    from packager.memo import Inputs
    from packager.policy import Need
    from rolepack.options import Options

_PLACES = ("PATH", "HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")
"""Variables by which programs and the user's folders are found."""


def _chosen(loaded: "Service", wanted: Sequence[str], tell: "Tell") -> tuple[str, ...]:
    """The roles to run: those asked for, or all that can run here."""
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.sources import why_not_run

    why_not = {role.name: why_not_run(role, loaded.sources[role.name]) for role in loaded.roles}
    able = [name for name, reason in why_not.items() if reason is None]
    faults = []
    for name in wanted:
        if name not in why_not:
            faults.append(Fault("--role", f"there is no role '{name}'", f"Choose from {', '.join(able)}"))
        elif name not in able:
            faults.append(Fault("--role", f"'{name}' cannot run here: {why_not[name]}", "Leave it out"))
    if not able:
        told = "; ".join(f"{name}: {reason}" for name, reason in why_not.items())
        faults.append(Fault(f"service '{loaded.name}'", f"no role can run here ({told})", "Add one that can"))
    if faults:
        raise ServiceError(*faults)
    if wanted:
        return tuple(name for name in able if name in set(wanted))
    for name, reason in why_not.items():
        if reason is not None:
            tell(f"{name} is left out: {reason}")
    return tuple(able)


def _startable(told: "Run", wanted: Sequence[str], tell: "Tell") -> "Run":
    """The run without the workers whose program this system cannot start; those asked for have to start."""
    from cloudservice.errors import Fault, ServiceError
    from emulator import launch

    unable = launch.unable(told)
    able = tuple(name for name in told.roles if name not in unable)
    if not able or any(name in unable for name in wanted):
        remedy = "Put a .py file of the same name beside the script, or leave the role out with --role"
        raise ServiceError(*(Fault(f"role '{name}'", reason, remedy) for name, reason in unable.items()))
    for name, reason in unable.items():
        tell(f"{name} is left out: {reason}")
    return told._replace(roles=able)


class Meant(NamedTuple):
    """What is to run: a service, where its definition and its configuration are, and where the run keeps its state."""

    root: Path
    place: Path
    loaded: "Service"
    configuration: Path
    is_packaged: bool


def mean(package: str | None, service: str | None, configuration: str | None) -> Meant:
    """What the options of a command mean: a bundle, or else the service that the user stands in."""
    if package:
        return of_package(Path(package), service, configuration)
    return _of_sources(service_folder(service), configuration)


def _of_sources(root: Path, configuration: str | None) -> Meant:
    """The service in a folder."""
    from cloudservice import folder

    name = configuration or folder.usual_configuration(root, "Local")
    return Meant(root, root, folder.load(root, name), folder.configuration_file(root, name), False)


def of_package(
    file: Path, service: str | None, configuration: str | None, usual: str = "Local", own: bool = False
) -> Meant:
    """The service in a bundle, run with the state of the service that the user stands in, or else with its own.

    The configuration is one beside the bundle, or else the service's `own`, which may also come first; without a name,
    the `usual` one.
    """
    from cloudservice import folder
    from cloudservice.errors import ServiceError
    from packager import unpacked
    from rolepack import progress

    try:
        root = service_folder(service)
    except ServiceError:
        if service is not None:
            raise
        root = None
    beside = file.absolute().parent
    places = [folder.configurations(root) if root else {}, folder.configurations(beside)]
    there = {**places[1], **places[0]} if own else {**places[0], **places[1]}
    name = configuration or folder.usual_of(there, usual)
    found = next((path for one, path in there.items() if one.lower() == name.lower()), None)
    path = found or folder.configuration_file(beside, name)
    with progress.shown() as report:
        place = unpacked.unpack(file, (root or beside) / ".rolepack" / "packages", path, report)
    return Meant(root or place, place, folder.load(place, name), path, True)


def prepare(meant: Meant, wanted: Sequence[str], offline: bool, tell: "Tell" = say) -> "Prepared":
    """Choose the roles, prepare their environments, put together what the emulator needs, and tell what is left out.

    `wanted` are roles that have to run; none means all that can.
    """
    from cloudservice.errors import ServiceError
    from rolepack import options

    chosen = options.load(meant.place)
    if unknown := chosen.unknown_roles(meant.place, {role.name for role in meant.loaded.roles}):
        raise ServiceError(*unknown)
    made = _environments(meant, _chosen(meant.loaded, wanted, tell), chosen, offline)
    for line in (*made.unable, *made.deviations):
        tell(line)
    run = _run(meant, made, chosen)
    if not meant.is_packaged:
        for line in _changed(meant.root, meant.loaded, run.roles):
            tell(line)
    able = _startable(run, wanted, tell)
    is_certain = able.roles == run.roles and not able.certificate
    return Prepared(able, _inputs(meant, made, chosen) if is_certain else None)


class Prepared(NamedTuple):
    """What the emulator is to run, and what it was made from, if that is all in files.

    It is not where this system's programs decide which roles run, and where a certificate ends with time.
    """

    run: "Run"
    inputs: "Inputs | None"


def prepare_alone(
    package: str | None, service: str | None, configuration: str | None, wanted: Sequence[str], offline: bool
) -> "Run":
    """Prepare what the options of a command mean, which must not be running; environments of earlier runs are removed.

    Sources are ready at once where nothing has changed since the last time.
    """
    from emulator import client

    if not package:
        root = service_folder(service)
        client.must_not_run(root)
        return _recalled(root, configuration, wanted, offline)
    meant = mean(package, service, configuration)
    client.must_not_run(meant.root)
    told = prepare(meant, wanted, offline).run
    _prune(meant, told)
    return told


def _recalled(root: Path, configuration: str | None, wanted: Sequence[str], offline: bool) -> "Run":
    from cloudservice.plain import from_plain, to_plain
    from emulator.run import Run, make_state_folder
    from packager.memo import Memo

    memo = Memo(make_state_folder(root) / "prepared.json", configuration, *wanted)
    kept = memo.recall()
    if kept is not None:
        for line in kept["lines"]:
            say(line)
        return from_plain(Run, kept["run"])
    began = memo.begin()
    meant = _of_sources(root, configuration)
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        say(line)

    made = prepare(meant, wanted, offline, tell)
    _prune(meant, made.run)
    if made.inputs is not None:
        memo.remember(began, made.inputs, {"run": to_plain(made.run), "lines": lines})
    return made.run


def _prune(meant: Meant, told: "Run") -> None:
    """Remove the environments and bundles of earlier runs; no emulator of the service may be running."""
    from packager import environment

    for name, runtime in told.runtimes.items():
        environment.prune(meant.root / ".rolepack" / "environments" / name, runtime.python)
    if meant.is_packaged:
        from packager import unpacked

        unpacked.prune(meant.place)


class _Environments(NamedTuple):
    """What roles run in and what each needs, by role; how that differs from the target, and why roles have none."""

    runtimes: dict[str, "Runtime"]
    needs: dict[str, "Need"]
    deviations: list[str]
    unable: list[str]


def _environments(meant: Meant, roles: Sequence[str], chosen: "Options", offline: bool) -> _Environments:
    """The environments of the roles; a role of a bundle may have none here, if others have."""
    from cloudservice.errors import Fault, ServiceError
    from emulator.run import Runtime
    from packager import environment
    from rolepack import progress

    made = _Environments({}, {}, [], [])
    faults: list[Fault] = []
    with progress.shown() as report:
        for name in roles:
            place = meant.root / ".rolepack" / "environments" / name
            try:
                made.needs[name], there = _need(meant, name, chosen)
                found = environment.prepare(place, made.needs[name], report, offline, there)
                made.deviations.extend(f"{name}: {line}" for line in found.deviations)
                kit = None
                hosting = _hosting(meant, name, chosen)
                if hosting is not None:
                    image = _image(found.python, hosting, report)
                    made.runtimes[name] = Runtime(found.python, None, image=image)
                    continue
                if meant.loaded.role(name).kind == "web":
                    try:
                        kit = environment.runtime_kit(found.python, report, offline)
                    except ServiceError as error:
                        made.deviations.append(f"{name}: an application of ASGI could not be served here: {error}")
                made.runtimes[name] = Runtime(found.python, kit)
            except ServiceError as error:
                faults += error.faults
                made.unable.append(f"{name} is left out, since this system cannot have its packages: {error}")
    if faults and not (meant.is_packaged and made.runtimes):
        raise ServiceError(*faults)
    return made


def _run(meant: Meant, made: _Environments, chosen: "Options") -> "Run":
    from emulator.run import Run

    loaded, able = meant.loaded, tuple(made.runtimes)
    return Run(
        folder=meant.root,
        service=loaded,
        roles=able,
        sources={name: loaded.sources[name].folder for name in able},
        sites={name: _sites(meant, name) for name in able},
        runtimes=made.runtimes,
        detached=False,
        place=meant.place,
        configuration=meant.configuration.absolute(),
        certificate=_certificate(loaded, able),
        recycles_on_change=chosen.recycles_on_change,
    )


def _sites(meant: Meant, role: str) -> dict[str, Path]:
    """The folders of a role's sites, and of what lies below them."""
    from cloudservice import folder
    from emulator import sites

    found = folder.virtual_folders(meant.place, meant.loaded.role(role), meant.loaded.sources[role])
    return {sites.key(names): place for names, place in found.items()}


def _inputs(meant: Meant, made: _Environments, chosen: "Options") -> "Inputs":
    """What a run of sources is made from. What only its instances read, their modules, may change."""
    from packager import contents, locks
    from packager.memo import Inputs
    from rolepack import inputs

    needs = made.needs.values()
    files = [path for path in inputs.of_service(meant.root, meant.loaded) if path.suffix != ".py"]
    files += inputs.of_needs(needs)
    files += (path for need in needs for path in locks.beside(need.asked))
    if chosen.templates is not None:
        files += contents.everything(chosen.templates, contents.DEFAULT)
    places = [
        place
        for runtime in made.runtimes.values()
        for place in (runtime.python, runtime.kit, runtime.image and runtime.image.place)
        if place
    ]
    return Inputs(files, {*inputs.variables(meant.loaded, needs), *_PLACES}, places)


def _need(meant: Meant, role: str, chosen: "Options") -> tuple["Need", Mapping[str, str] | None]:
    """What a role needs, and the versions that it has on its target if a bundle says them."""
    from rolepack import needs

    if meant.is_packaged:
        from packager import unpacked  # which loads much, to read and to verify

        packaged = unpacked.need(meant.loaded.sources[role].folder)
        if packaged:
            return packaged
    return needs.of_run(meant.loaded, meant.loaded.role(role), chosen), None


def _hosting(meant: Meant, role: str, chosen: "Options") -> "Hosting | None":
    """How App Service hosts a role, if it does: by invoke.yaml, or by the bundle."""
    if meant.is_packaged:
        from packager import unpacked

        return unpacked.hosting(meant.loaded.sources[role].folder)
    return chosen.hosting_of(meant.loaded.role(role))


def _image(python: Path, hosting: "Hosting", report: "Report") -> "Image":
    """What the platform's image brings, for the Python of a role's environment."""
    from emulator.run import Image
    from packager import here
    from packager.appservice import environments, runtimes
    from packager.target import minor_of

    runtime = runtimes.choose(minor_of(here.ask(python).version))
    return Image(environments.image(runtime, report), runtime.version, hosting.startup_command)


def _certificate(loaded: "Service", roles: Sequence[str]) -> tuple[Path, ...]:
    """The certificate and its key, if a site is served by https."""
    from emulator import sites

    served = (
        endpoint
        for name in roles
        for endpoint in loaded.role(name).endpoints
        if endpoint.name in sites.served(loaded.role(name))
    )
    if not any(endpoint.protocol == "https" for endpoint in served):
        return ()
    from packager import certificate

    made = certificate.prepare()
    say(f"https is served with {made.path}; `{PROGRAM} certificate` tells more")
    return made.path, made.key


def _changed(root: Path, loaded: "Service", roles: Sequence[str]) -> Iterable[str]:
    """Scripts that only Windows can run and that are not as rolepack writes them: what they say else is not done."""
    from cloudservice.files import shown
    from packager import scripts

    if os.name == "nt":
        return
    suspects = [name for name in roles if scripts.changed(loaded.role(name), loaded.sources[name])]
    if not suspects:
        return
    from packager import support
    from rolepack import options

    templates = options.templates(root)
    for name in suspects:
        for script in support.changed_scripts(loaded.role(name), loaded.sources[name], templates):
            twin = script.with_suffix(".py").name
            where = f"put that into {twin}" if script.with_suffix(".py").is_file() else "only Windows can do that"
            yield f"{name}: {shown(script)} was changed, and what was changed in it does not run here: {where}"
