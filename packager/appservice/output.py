"""The output of a build: put together beside its place, with what else is there, and then in its place in one step.

Source: the platform's build copies over what is there, and never cleans up. What is ours: it does so whole or not at
all, and virtual environments and archives of before do not stay.
"""

import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from cloudservice import appservice, build_manifest
from cloudservice.appservice import MANIFEST
from cloudservice.files import replace_folder
from packager.tools import run

GZIP, ZSTD = "output.tar.gz", "output.tar.zst"
_SYSTEM = ".ostype"
_OWN = frozenset({MANIFEST, _SYSTEM, GZIP, ZSTD, appservice.ENVIRONMENT})
_FLAVOR = re.compile(r'^(ID|VERSION_CODENAME)="?([^"\n]*)"?$', re.MULTILINE)


def staged(output: Path) -> Path:
    """Where an output is put together."""
    return output.with_name(f".{output.name}.rolepack")


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
        _link_rest(output, staged(output), _OWN | {*left_out})


def take_place(output: Path) -> None:
    """Let the output that was put together take its place."""
    place = staged(output)
    place.chmod(0o755)
    replace_folder(place, output)
    shutil.rmtree(place, ignore_errors=True)


def _link_rest(old: Path, new: Path, left_out: Collection[str]) -> None:
    for entry in os.scandir(old):
        target = new / entry.name
        if entry.name in left_out:
            continue
        if entry.is_dir(follow_symlinks=False):
            if target.is_dir() and not target.is_symlink():
                _link_rest(Path(entry.path), target, ())
            elif not os.path.lexists(target):
                shutil.copytree(entry.path, target, symlinks=True, copy_function=_link)
        elif not os.path.lexists(target):
            _link(entry.path, str(target))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
