"""invoke inspect, verify, extract: what is in a bundle, and whether it is whole."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Context

from rolepack.command import AS_JSON, command, counted, listed, say, say_json

if TYPE_CHECKING:
    from packager.inventory import Inventory


@command(
    positional=["file"],
    help={
        "file": "The bundle.",
        "against": "Another bundle: tell what changed since that one.",
        "json": AS_JSON,
    },
)
def inspect(_context: Context, file: str, against: str | None = None, json: bool = False) -> None:
    """Show what is in a bundle: its roles with their files and wheels, and what they share.

    Example: invoke inspect dist/shop.cspkg --against old.cspkg
    """
    from packager import inventory

    found = inventory.load(Path(file))
    before = inventory.load(Path(against)) if against else None
    if json:
        told = _as_json(found)
        say_json({**told, "changes": inventory.changes(before, found)} if before else told)
        return
    for line in _lines(found):
        say(line)
    if before is not None:
        changes = inventory.changes(before, found)
        say(f"Against {against}:" if any(changes.values()) else f"The same as {against}.")
        for role, lines in changes.items():
            for line in lines:
                say(f"  {role}: {line}")


@command(
    positional=["file"],
    help={
        "file": "The bundle.",
        "key": "A public key or a certificate in PEM: the bundle has to be signed with its private half.",
        "json": AS_JSON,
    },
)
def verify(_context: Context, file: str, key: str | None = None, json: bool = False) -> None:
    """Check every byte of a bundle, and who signed it.

    Example: invoke verify dist/shop.cspkg --key public.pem
    """
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.files import sha256_of, shown
    from packager import manifest, opened, signature
    from rolepack import progress

    path = Path(file)
    with progress.shown(quiet=json) as report:
        found, signed = opened.verify(path, report)
    signer = signature.signer(signed) if signed is not None else None
    if key is not None:
        public = signature.load_public(Path(key))
        if signed is None or not signature.is_of(public, signed, manifest.render(found)):
            wrong = "it is not signed" if signed is None else f"{shown(Path(key))} is not the key that signed it"
            raise ServiceError(Fault(shown(path), wrong, "Do not use it before you know where it comes from"))
    if json:
        proven = key is not None
        say_json({"file": str(path.resolve()), "sha256": sha256_of(path), "signer": signer, "signer_proven": proven})
        return
    whole = f"{shown(path)} is whole: {counted(found.parts, 'part')}, {counted(found.roles, 'role')}"
    if signer is None:
        say(f"{whole}; it is not signed.")
    elif key is None:
        say(f"{whole}; it is signed, by its own account with the key {signer[:16]}…: give --key to prove it.")
    else:
        say(f"{whole}; it was signed with the key of {shown(Path(key))}.")


@command(
    positional=["file"],
    iterable=["role"],
    help={
        "file": "The bundle.",
        "role": "Only this role; repeatable. Default: all of them.",
        "output": "The folder to make (default: the bundle's name, beside it); each role gets a folder in it.",
    },
)
def extract(_context: Context, file: str, role: list[str], output: str | None = None) -> None:
    """Lay the roles of a bundle down in a folder, as a host does.

    Example: invoke extract dist/shop.cspkg --role web
    """
    from cloudservice.errors import Fault, ServiceError
    from cloudservice.files import shown
    from packager import opened
    from rolepack import progress

    path = Path(file)
    place = Path(output) if output else path.with_suffix("")
    role = list(dict.fromkeys(role))
    with opened.opened(path) as bundle, progress.shown() as report:
        there = bundle.manifest.roles
        faults = [
            Fault("--role", f"there is no role '{one}'", f"Choose from {listed(there)}")
            for one in role
            if one not in there
        ]
        wanted = role or list(there)
        taken = [place / one for one in wanted if (place / one).exists()]
        faults += [Fault(shown(one), "it is there already", "Remove it, or choose another --output") for one in taken]
        if faults:
            raise ServiceError(*faults)
        try:
            for one in wanted:
                opened.extract(bundle, one, place / one, report)
        except ServiceError:
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
            raise
    say(f"Extracted {listed(wanted)} of {shown(path)} into {shown(place)}/.")


def _lines(found: "Inventory") -> Iterable[str]:
    yield f"{found.name}: {counted(found.roles, 'role')}, {_size(found.size)} in {_size(found.file_size)}"
    for role in found.roles:
        about = f"for {role.platform}, Python {role.python}" if role.platform else "no Python"
        yield f"  {role.name} ({role.kind}, {about}): {counted(role.files, 'file')}, {_size(role.size)}"
        for folder, size, count in role.folders:
            yield f"    {folder:<40} {_size(size):>9}  {count} files"
        for wheel in role.wheels:
            yield f"    {wheel.requirement:<40} {_size(wheel.size):>9}{'  shared' if wheel.is_shared else ''}"
    if found.shared:
        yield f"Shared by several roles, and in it once: {counted(found.shared, 'part')}, {_size(found.shared_size)}."


def _as_json(found: "Inventory") -> dict[str, Any]:
    return {
        "service": found.name,
        "size": found.size,
        "file_size": found.file_size,
        "roles": [
            {
                "name": role.name,
                "kind": role.kind,
                "platform": role.platform or None,
                "python": role.python or None,
                "size": role.size,
                "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in role.files],
                "wheels": [
                    {"requirement": one.requirement, "file": one.file, "size": one.size, "shared": one.is_shared}
                    for one in role.wheels
                ],
            }
            for role in found.roles
        ],
    }


def _size(count: int) -> str:
    """Bytes in words."""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
