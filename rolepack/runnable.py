"""What the emulator is to run: a service or a bundle, with its environments made and its roles chosen."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rolepack.command import PROGRAM, say, service_folder

if TYPE_CHECKING:
    from cloudservice.service import Service
    from emulator.run import Run
    from packager.policy import Need
    from rolepack.options import Options


def _chosen(loaded: "Service", wanted: Sequence[str]) -> tuple[str, ...]:
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
            say(f"{name} is left out: {reason}")
    return tuple(able)


def _startable(told: "Run", wanted: Sequence[str]) -> "Run":
    """The run without the workers whose program this system cannot start; those asked for have to start."""
    from cloudservice.errors import Fault, ServiceError
    from emulator import launch

    unable = launch.unable(told)
    able = tuple(name for name in told.roles if name not in unable)
    if not able or any(name in unable for name in wanted):
        remedy = "Put a .py file of the same name beside the script, or leave the role out with --role"
        raise ServiceError(*(Fault(f"role '{name}'", reason, remedy) for name, reason in unable.items()))
    for name, reason in unable.items():
        say(f"{name} is left out: {reason}")
    return told._replace(roles=able)


@dataclass(frozen=True, slots=True)
class Meant:
    """What is to run: a service, where its definition and its configuration are, and where the run keeps its state."""

    root: Path
    place: Path
    loaded: "Service"
    configuration: Path
    is_packaged: bool

    @property
    def is_found(self) -> bool:
        """Whether commands find that folder by where the user stands, or by the `--service` that was given."""
        return not self.is_packaged or self.root != self.place


def mean(package: str | None, service: str | None, configuration: str | None) -> Meant:
    """What the options of a command mean: a bundle, or else the service that the user stands in."""
    return _of_package(Path(package), service, configuration) if package else _of_sources(service, configuration)


def _of_sources(service: str | None, configuration: str | None) -> Meant:
    """The service that the user stands in, or names."""
    from cloudservice import folder

    root = service_folder(service)
    name = configuration or folder.usual_configuration(root, "Local")
    return Meant(root, root, folder.load(root, name), folder.configuration_file(root, name), False)


def _of_package(file: Path, service: str | None, configuration: str | None) -> Meant:
    """The service in a bundle, run with the state of the service that the user stands in, or else with its own.

    The configuration is one beside the bundle, or else one of that service.
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
    there = {**(folder.configurations(root) if root else {}), **folder.configurations(beside)}
    name = configuration or folder.usual_of(there, "Local")
    found = next((path for one, path in there.items() if one.lower() == name.lower()), None)
    path = found or folder.configuration_file(beside, name)
    with progress.shown() as report:
        place = unpacked.unpack(file, (root or beside) / ".rolepack" / "packages", path, report)
    return Meant(root or place, place, folder.load(place, name), path, True)


def prepare(meant: Meant, wanted: Sequence[str], offline: bool) -> "Run":
    """Choose the roles, prepare their environments, and put together what the emulator needs; it says what is left out.

    `wanted` are roles that have to run; none means all that can.
    """
    told = _prepared(meant, _chosen(meant.loaded, wanted), offline)
    return _startable(told, wanted)


def prune(meant: Meant, told: "Run") -> None:
    """Remove the environments and bundles of earlier runs; no emulator of the service may be running."""
    from packager import environment

    for name, runtime in told.runtimes.items():
        environment.prune(meant.root / ".rolepack" / "environments" / name, runtime.python)
    if meant.is_packaged:
        from packager import unpacked

        unpacked.prune(meant.place)


def _prepared(meant: Meant, roles: tuple[str, ...], offline: bool) -> "Run":
    from cloudservice import folder
    from cloudservice.errors import Fault, ServiceError
    from emulator.run import Run, Runtime
    from packager import environment
    from rolepack import options, progress

    root, loaded = meant.root, meant.loaded
    chosen = options.load(meant.place)
    runtimes: dict[str, Runtime] = {}
    deviations: list[str] = []
    faults: list[Fault] = []
    unable: list[str] = []
    with progress.shown() as report:
        for name in roles:
            place = root / ".rolepack" / "environments" / name
            try:
                need, there = _need(meant, name, chosen)
                made = environment.prepare(place, need, report, offline, there)
                web = loaded.role(name).kind == "web"
                kit = environment.runtime_kit(made.python, report, offline) if web else None
                runtimes[name] = Runtime(made.python, kit)
                deviations += [f"{name}: {line}" for line in made.deviations]
            except ServiceError as error:
                faults += error.faults
                unable.append(f"{name} is left out, since this system cannot have its packages: {error}")
    able = tuple(name for name in roles if name in runtimes)
    if faults and not (meant.is_packaged and able):
        raise ServiceError(*faults)
    for line in unable:
        say(line)
    for line in (*deviations, *(() if meant.is_packaged else _changed(root, loaded, able))):
        say(line)
    return Run(
        folder=root,
        service=loaded,
        roles=able,
        sources={name: loaded.sources[name].folder for name in able},
        sites={name: folder.site_folders(meant.place, loaded.role(name), loaded.sources[name]) for name in able},
        runtimes=runtimes,
        detached=False,
        place=meant.place,
        configuration=meant.configuration.absolute(),
        certificate=_certificate(loaded, able),
        recycles_on_change=chosen.recycles_on_change,
    )


def _need(meant: Meant, role: str, chosen: "Options") -> tuple["Need", Mapping[str, str] | None]:
    """What a role needs, and the versions that it has on its target if a bundle says them."""
    from rolepack import needs

    if meant.is_packaged:
        from packager import unpacked  # which loads much, to read and to verify

        packaged = unpacked.need(meant.loaded.sources[role].folder)
        if packaged:
            return packaged
    return needs.of_run(meant.loaded, meant.loaded.role(role), chosen), None


def _certificate(loaded: "Service", roles: Sequence[str]) -> tuple[Path, ...]:
    """The certificate and its key, if a site is served by https."""
    from emulator import launch

    served = (
        endpoint
        for name in roles
        for endpoint in loaded.role(name).endpoints
        if endpoint.name in launch.served(loaded.role(name))
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
