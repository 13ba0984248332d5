"""From a bundle and a configuration to what the publisher gets."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rolepack import runnable

if TYPE_CHECKING:
    from cloudservice.tells import Tell
    from packager.opened import Opened
    from publisher.published import Published
    from rolepack.runnable import Meant

_VERSION = 12
"""Digits of a bundle's SHA-256 that make its version."""


@contextmanager
def published(file: Path, service: str, configuration: str | None, own: bool, tell: "Tell") -> Iterator["Published"]:
    """A bundle, verified to the last byte, with a configuration; its content can be read as long as the block lasts.

    The configuration is the one beside the bundle, or the service's `own`.
    """
    from cloudservice.files import sha256_of
    from packager import opened
    from publisher.published import Published
    from rolepack import options, progress

    with progress.shown() as report:
        opened.verify(file, report)
    meant = runnable.of_package(file, service, configuration, "Cloud", own)
    _tell_difference(meant, tell)
    with opened.opened(file) as bundle:
        _must_fit_windows(meant, bundle)
        parts = bundle.manifest.parts
        by_content = {part.sha256: name for name, part in parts.items()}
        yield Published(
            version=sha256_of(file)[:_VERSION],
            service=meant.loaded,
            files={
                role: {path: parts[name].sha256 for path, name in files.items()}
                for role, files in bundle.manifest.roles.items()
            },
            sizes={part.sha256: part.size for part in parts.values()},
            directories={role: _directories(meant, role) for role in bundle.manifest.roles},
            read=lambda sha256: bundle.read(by_content[sha256]),
            recycles_on_change=options.load(meant.root).recycles_on_change,
        )


def _tell_difference(meant: "Meant", tell: "Tell") -> None:
    """Say which configuration counts where the service's own is another by now."""
    from cloudservice.files import shown

    other = meant.root / meant.configuration.name
    if other != meant.configuration and other.is_file() and other.read_bytes() != meant.configuration.read_bytes():
        way = "package again, or change settings alone with --configuration-only"
        tell(f"{shown(meant.configuration)} is published; {shown(other)} says something else by now: {way}")


def _directories(meant: "Meant", role: str) -> Mapping[tuple[str, ...], str]:
    r"""The folders of a role's sites on a host: `roles/web` of an unpacked bundle is `approot` there."""
    from cloudservice import folder

    found = folder.virtual_folders(meant.place, meant.loaded.role(role), meant.loaded.sources[role])
    approot, sites = meant.place / "roles" / role, meant.place / "sites" / role
    return {
        names: "approot" if place == approot else str(Path("sitesroot") / place.relative_to(sites)).replace("/", "\\")
        for names, place in found.items()
    }


def _must_fit_windows(meant: "Meant", bundle: "Opened") -> None:
    """ServiceError for roles whose wheels are for another system, or that App Service hosts."""
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.files import shown
    from packager import unpacked

    faults = []
    for role in bundle.manifest.roles:
        place = meant.loaded.sources[role].folder
        needed = unpacked.need(place)
        where = f"{shown(bundle.path)}, role '{role}'"
        if needed and not needed[0].target.platform.startswith("win"):
            wrong = f"its wheels are for {needed[0].target.platform}"
            faults.append(Fault(where, wrong, "Package it again with --target win_amd64"))
        if unpacked.hosting(place):
            wrong = "it is hosted by App Service, and these hosts have IIS"
            faults.append(Fault(where, wrong, "Take `hosting` out of invoke.yaml, and package again"))
    if faults:
        raise ServiceError(*faults)
