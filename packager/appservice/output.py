"""The output of a build: put together beside its place, with what else is there, and then in its place in one step.

Source: the platform's build copies over what is there, and never cleans up. What is ours: it does so whole or not at
all, and virtual environments and archives of before do not stay.
"""

import contextlib
import glob
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from cloudservice import appservice, build_manifest, lock
from cloudservice.appservice import MANIFEST
from cloudservice.errors import ServiceError
from cloudservice.files import replace_folder
from packager.tools import run

GZIP, ZSTD = "output.tar.gz", "output.tar.zst"
_SYSTEM = ".ostype"
_OWN = frozenset({MANIFEST, _SYSTEM, GZIP, ZSTD, appservice.ENVIRONMENT})
_FLAVOR = re.compile(r'^(ID|VERSION_CODENAME)="?([^"\n]*)"?$', re.MULTILINE)


def staged(output: Path) -> Path:
    """Where an output is put together."""
    return output.with_name(f".{output.name}.rolepack")


def clear(output: Path) -> None:
    """Remove what earlier deployments have left beside the place: what ran then, unless it still runs."""
    place = staged(output)
    for old in output.parent.glob(f"{glob.escape(place.name)}*"):
        if old.is_symlink() or not old.is_dir():
            old.unlink()
        elif not lock.is_held_folder(old):
            shutil.rmtree(old)
        elif old == place:
            old.rename(place.with_name(f"{place.name}.{time.time_ns()}"))


def copy(output: Path, place: Path) -> None:
    """Copy an output that an app may be running in, and writing to, into a folder."""
    if output.is_dir():
        _add_rest(output, place, (), _copy)


def move(made: Path, output: Path) -> Path:
    """Begin an output with what was made, which is gone then; where it is put together."""
    place = staged(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, place)
    return place


def compress(made: Path, output: Path, with_zstd: bool, say: Callable[[str], None]) -> Path:
    """Begin an output with one archive of what was made: by zstd, if that is asked for and here, else by gzip."""
    place = staged(output)
    place.mkdir(parents=True)
    if with_zstd and not shutil.which("zstd"):
        say("WARNING: zstd is not here; the output is compressed with gzip.")
        with_zstd = False
    how: list[str | Path] = ["--zstd", "-cf", place / ZSTD] if with_zstd else ["-czf", place / GZIP]
    run(["tar", "-C", made, *how, "."])
    return place


def describe(place: Path, manifest: Mapping[str, str]) -> None:
    """Add the manifest, and what system it was built on, such as `DEBIAN|BOOKWORM`."""
    (place / MANIFEST).write_text(build_manifest.render(manifest), encoding="utf-8")
    release = Path("/etc/os-release")
    found = dict(_FLAVOR.findall(release.read_text(encoding="utf-8"))) if release.is_file() else {}
    system = "|".join(found.get(key, "").upper() for key in ("ID", "VERSION_CODENAME"))
    (place / _SYSTEM).write_text(system, encoding="utf-8")


def keep_rest(output: Path, left_out: Collection[str]) -> None:
    """Let what else is in the place stay: what the app has written there, and sources of before.

    These are the same files, so that an app that goes on writing to one does so in both. `left_out` are folders of
    packages, which are never mixed.
    """
    if output.is_dir():
        try:
            before = build_manifest.load(output) or {}
        except ServiceError:
            before = {}
        left_out = _OWN | {*left_out} | {before.get(key, "") for key in build_manifest.NAMES}
        _add_rest(output, staged(output), left_out, _link)


def take_place(output: Path) -> None:
    """Let the output that was put together take its place.

    What was there is removed, or by the next deployment, if an app runs in it.
    """
    place = staged(output)
    place.chmod(0o755)
    replace_folder(place, output)
    if not lock.is_held_folder(place):
        shutil.rmtree(place, ignore_errors=True)


def _add_rest(old: Path, new: Path, left_out: Collection[str], add: Callable[[str, Path], object]) -> None:
    """Add what only the old folder has to the new one."""
    for entry in os.scandir(old):
        target = new / entry.name
        if entry.name in left_out:
            continue
        with contextlib.suppress(FileNotFoundError):  # the app that runs there has just removed it
            if entry.is_dir(follow_symlinks=False):
                if not os.path.lexists(target):
                    target.mkdir(mode=entry.stat().st_mode & 0o777)
                if target.is_dir() and not target.is_symlink():
                    _add_rest(Path(entry.path), target, (), add)
            elif not os.path.lexists(target) and (entry.is_symlink() or entry.is_file()):
                add(entry.path, target)


def _link(source: str, target: Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        _copy(source, target)


def _copy(source: str, target: Path) -> None:
    shutil.copy2(source, target, follow_symlinks=False)
