"""What the roles of a service need, as the options of a command, the role's own files and invoke.yaml say."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rolepack.command import counted, say

if TYPE_CHECKING:
    from cloudservice.service import Role, Service, Source
    from cloudservice.tells import Tell
    from packager.policy import Need
    from packager.wheelhouse import Wheelhouse
    from rolepack.options import Options

TARGET = (
    "Platform that the wheels must fit: win_amd64, win_arm64, manylinux_2_28_x86_64, manylinux_2_28_aarch64, host. "
    "Default: win_amd64."
)
PYTHON = (
    "CPython that the wheels must fit, 3.12 or 3.12.10. Default: what runtime.txt or .python-version says, or 3.12."
)
OFFLINE = "Use no network: the store has to have what the locks name."


def of_roles(root: Path, loaded: "Service", platform: str, python: str | None) -> dict[str, "Need"]:
    """The need of each role that can be packaged and has any, by its name; ServiceError with what is wrong in all."""
    from cloudservice import sources
    from cloudservice.errors import ServiceError
    from rolepack import options

    chosen = options.load(root)
    known = {role.name for role in loaded.roles}
    faults = chosen.unknown_roles(root, known)
    needs = {}
    for role in loaded.roles:
        source = loaded.sources[role.name]
        if sources.why_not_packaged(role, source) is not None:
            continue
        try:
            on = _on_app_service(platform) if chosen.hosting_of(role) else platform
            need = _of_role(role, source, on, python, chosen.requirements_of(role, source))
        except ServiceError as error:
            faults += error.faults
            continue
        if need is not None:
            needs[role.name] = need
    if faults:
        raise ServiceError(*dict.fromkeys(faults))
    return needs


def of_service(root: Path, platform: str, python: str | None) -> dict[str, "Need"]:
    """The same of the service in folder `root`."""
    from cloudservice import folder

    loaded = folder.load(root, folder.usual_configuration(root, "Cloud"))
    return of_roles(root, loaded, platform, python)


def of_run(loaded: "Service", role: "Role", chosen: "Options") -> "Need":
    """The need of a role that is to run here: that of the target of the lock beside its requirements."""
    from packager import locks, requirements, version
    from packager.policy import Need
    from packager.target import APP_SERVICE, PLATFORMS, parse

    source = loaded.sources[role.name]
    python = version.of_role(source.folder) or version.DEFAULT
    named = chosen.requirements_of(role, source)
    platforms = sorted(PLATFORMS, key=lambda one: chosen.hosting_of(role) is not None and one != APP_SERVICE)
    usual, *others = (parse(platform, python) for platform in platforms)
    asked = requirements.of(role, source, usual, named) or requirements.Asked(source.folder / requirements.FILE)
    target = next((one for one in (usual, *others) if locks.path_of(asked, one).is_file()), usual)
    return Need(asked if target.is_windows else replace(asked, added=()), target)


def _on_app_service(platform: str) -> str:
    """The platform of a role that App Service hosts on Linux: the one that is wanted, if it is Linux."""
    from packager.target import APP_SERVICE

    return APP_SERVICE if platform.startswith("win") else platform


def _of_role(role: "Role", source: "Source", platform: str, python: str | None, named: str | None) -> "Need | None":
    from packager import here, locks, requirements, version
    from packager.policy import Need
    from packager.target import parse

    usual = here.MINOR if platform == "host" else version.DEFAULT
    target = parse(platform, python or version.of_role(source.folder) or usual)
    asked = requirements.of(role, source, target, named)
    if asked is None:
        return None
    held = locks.elsewhere(asked, target) if target.interpreter else {}
    return Need(asked, target, held)


def keep(needs: dict[str, "Need"], house: "Wheelhouse", tell: "Tell" = say) -> dict[str, list[str]]:
    """Write the locks that are not there as they are now, and tell; what changed in those that were there, by role."""
    from cloudservice.files import shown
    from packager import locks

    told: dict[str, list[str]] = {}
    for role, lock in house.roles.items():
        asked = needs[role].asked
        before = locks.load(asked, lock.target)
        path = locks.write(asked, lock, role)
        if path is None:
            continue
        changed = list(locks.changes(before, lock)) if before else []
        what = f": {', '.join(changed)}" if changed else ""
        told[role] = changed
        tell(f"Wrote {shown(path)} with {counted(lock.entries, 'package')}{what}.")
    return told
