"""From what a role asks for to exact files for a target: uv resolves, packaging selects."""

import os
import sys
import tempfile
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import uv

from cloudservice.errors import ServiceError
from cloudservice.files import link_whole
from packager import pins, projects, refusal, requirements
from packager.pins import Pin
from packager.requirements import Asked, Line
from packager.target import Target
from packager.tools import ToolError, run

_OTHER_PYTHON = "incompatible with the project's Python requirement"
_UV = uv.find_uv_bin()
"""Found here and not by each thread that resolves a role: what it asks, sysconfig, is not safe when first asked."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a resolution is to go, by package: versions that must be taken, and that should be.

    `files` has the SHA-256 of the file to take if it is offered; `unbuilt` are packages that must not be built.
    """

    constraints: Mapping[str, str]
    preferences: Mapping[str, str]
    files: Mapping[str, str]
    unbuilt: frozenset[str] = frozenset()


FREE = Wishes({}, {}, {})


class UnreachableError(ServiceError):
    """The network stood in the way, so that other wishes would not help."""


def resolve(asked: Asked, target: Target, environ: Mapping[str, str], wishes: Wishes = FREE) -> tuple[Pin, ...]:
    """What is asked for on the target, by name; every package that cannot be had is a fault."""
    named = {line.name for line in asked.lines}
    added = replace(asked, added=tuple(name for name in asked.added if name in named))
    apart = tuple(name for name in asked.added if name not in named)
    # They have no dependencies; to find that out, uv would build them each time.
    alone = replace(asked, lines=(), locked=None, added=apart)
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(_compiled, alone, target, environ, wishes, "--no-deps") if apart else None
        found: list[Pin] = []
        if asked.lines or asked.locked:
            found += pins.select(added, *_pylock(added, target, environ, wishes), target, wishes.files)
    there = {pin.name for pin in found}
    if beside is not None:
        found += (pin for pin in pins.select(alone, *beside.result(), target, wishes.files) if pin.name not in there)
    return tuple(sorted(found, key=lambda pin: pin.name))


def locate(asked: Asked, wanted: Collection[Pin], target: Target, environ: Mapping[str, str]) -> tuple[Pin, ...]:
    """Where the packages of a lock are to be had: those versions and files, and not what they need."""
    addresses = tuple(line for line in asked.lines if line.is_address and line.is_for(target))
    found_there = {line.name for line in addresses}
    lines = (Line(asked.path, 0, f"{pin.name}=={pin.version}") for pin in wanted if pin.name not in found_there)
    options = tuple(line for line in asked.options if line.option[0] != "require-hashes")
    alone = replace(asked, lines=(*addresses, *lines), constraints=(), options=options, added=())
    files = {pin.name: pin.sha256 for pin in wanted if pin.sha256}
    return tuple(pins.select(alone, *_compiled(alone, target, environ, FREE, "--no-deps"), target, files))


def needed_by(asked: Asked, package: str, target: Target, environ: Mapping[str, str]) -> str | None:
    """The package of a line of the file through which another one is needed; None if that cannot be told."""
    options = [*_options(asked, target), "--annotation-style", "line", "--no-header", "--quiet"]
    try:
        printed = run([_UV, "pip", "compile", "-", *options], environ, asked.path.parent, _lines(asked))
    except ToolError:
        return None
    needs: dict[str, list[str]] = {}
    for line in printed.splitlines():
        requirement, _, via = line.partition("# via ")
        needs[requirement.partition("==")[0].strip()] = [name.strip() for name in via.split(",")]
    seen, waiting = {package}, [package]
    while waiting:
        current = waiting.pop(0)
        if current != package and asked.line_of(current):
            return current
        waiting += [name for name in needs.get(current, ()) if name not in seen]
        seen.update(waiting)
    return None


def _pylock(asked: Asked, target: Target, environ: Mapping[str, str], wishes: Wishes) -> tuple[str, Path]:
    """The pylock of what is asked for, and the folder that its relative paths count from."""
    if asked.locked is None:
        return _compiled(asked, target, environ, wishes)
    folder = asked.locked.parent
    if asked.locked.name != "uv.lock":
        return asked.locked.read_text("utf-8", "replace"), folder
    try:
        return _exported(folder, "--locked", environ), folder
    except ToolError as error:
        if _OTHER_PYTHON not in str(error):
            raise ServiceError(refusal.of_uv(asked, str(error))) from None
    # Whether it fits its project, uv tells only with a Python that the project allows.
    return _exported(folder, "--frozen", environ), folder


def _exported(folder: Path, how: str, environ: Mapping[str, str]) -> str:
    """The pylock of a project with a uv.lock, without the project and its development groups."""
    options = ["--format", "pylock.toml", "--no-header", "--quiet", "--no-emit-project", "--no-default-groups"]
    return run([_UV, "export", how, *options, "--python", sys.executable], environ, folder)


def _compiled(asked: Asked, target: Target, environ: Mapping[str, str], wishes: Wishes, *more: str) -> tuple[str, Path]:
    """What `uv pip compile` makes of the lines; its refusal becomes a fault of their file."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name).resolve()
        # To ask a project what it needs may be to run its build, which writes into its folder.
        dynamic = [place for place in asked.local if place.is_dir() and requirements.is_dynamic(place)]
        copies = {place: stack.enter_context(projects.copied(place)).resolve() for place in dynamic}
        output, constraints = folder / "pylock.toml", folder / "constraints.txt"
        if wishes.preferences:
            output.write_text(_preferring(wishes.preferences))  # uv keeps to the versions in the file it replaces
        held = [line.expanded() for line in asked.constraints]
        held += [f"{package}=={version}" for package, version in wishes.constraints.items()]
        constraints.write_text("".join(f"{line}\n" for line in held))
        options = ["--format", "pylock.toml", "--constraint", str(constraints), "--no-header", "--quiet"]
        for wheel in asked.shelf:
            # One for another machine would hide what an index has of that version.
            if pins.fits(wheel.name, target):
                link_whole(wheel, folder / wheel.name)
        options += ["--find-links", str(folder)] if asked.shelf else []
        options += [word for package in sorted(wishes.unbuilt) for word in ("--only-binary", package)]
        argv: list[str | Path] = [
            _UV,
            "pip",
            "compile",
            "-",
            *_options(asked, target),
            *options,
            *more,
            "--output-file",
            output,
        ]
        try:
            # Paths in the file are relative to it, not to where the user stands.
            run(argv, environ, asked.path.parent, _lines(asked, copies))
        except ToolError as error:
            kind = UnreachableError if refusal.is_of_network(str(error)) else ServiceError
            raise kind(refusal.of_uv(asked, str(error))) from None
        text = output.read_text("utf-8")
        for place, copy in copies.items():
            for written in (copy.as_posix(), os.path.relpath(copy, folder).replace(os.sep, "/")):
                text = text.replace(f'path = "{written}"', f'path = "{place.absolute().as_posix()}"')
        # The folder goes, but paths that count from it lead to where they did.
        return text, folder


def _lines(asked: Asked, copies: Mapping[Path, Path] = MappingProxyType({})) -> str:
    lines = (line.given(asked.path.parent, copies) for line in asked.lines)
    return "".join(f"{line}\n" for line in (*lines, *asked.added))


def _options(asked: Asked, target: Target) -> list[str]:
    """The target, and what uv takes as options of what stands in a requirements file."""
    found = [word for place in asked.values("find-links") for word in ("--find-links", place)]
    for name in ("no-binary", "only-binary"):
        found += [word for value in asked.values(name) for word in (f"--{name}", value)]
    if asked.values("pre"):
        found += ["--prerelease", "allow"]
    return [*target.uv_options(), *found]


def _preferring(versions: Mapping[str, str]) -> str:
    packages = (f'[[packages]]\nname = "{name}"\nversion = "{version}"\n' for name, version in versions.items())
    return f'lock-version = "1.0"\ncreated-by = "rolepack"\n{"".join(packages)}'
