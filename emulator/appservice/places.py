"""Where an app lies when it runs: as it was deployed, or unpacked where it was built."""

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from cloudservice import appservice, build_manifest, lock
from cloudservice.build_manifest import Manifest
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from emulator.appservice.startup import StartError

_ARCHIVES = ("output.tar.zst", "output.tar.gz")


class Place(NamedTuple):
    """The folder of an app that can run, its manifest, and the folder that it was built in, if that is there again."""

    app: Path
    manifest: Manifest | None
    built_at: Path | None
    is_unpacked: bool


@contextmanager
def laid_out(folder: Path, joins: bool = False) -> Iterator[Place]:
    """Lay the app of a folder out for a run, while the block goes on; StartError if what it needs is missing.

    Who `joins` takes what another run has unpacked, if there is one.
    """
    manifest = build_manifest.load(folder)
    if manifest is None:
        yield Place(folder, None, None, is_unpacked=False)
        return
    is_packed = manifest.get("CompressDestinationDir", "").lower() == "true"
    with contextlib.ExitStack() as held:
        named = Path(manifest.get("SourceDirectoryInBuildContainer", ""))
        built_at = named if appservice.is_work_folder(named) else None
        if built_at is not None and joins and is_packed and lock.is_held_folder(built_at):
            yield Place(built_at, manifest, built_at, is_unpacked=True)
            return
        if built_at is not None and not held.enter_context(_held(built_at, is_alone=is_packed)):
            built_at = None
        if not is_packed:
            yield Place(folder, manifest, built_at, is_unpacked=False)
            return
        place = built_at or Path(held.enter_context(tempfile.TemporaryDirectory()))
        _unpack(folder, place)
        yield Place(place, manifest, built_at, is_unpacked=True)


@contextmanager
def _held(folder: Path, is_alone: bool) -> Iterator[bool]:
    """Make the folder again, or take what a run that was killed has left of it; whether it could be had.

    Runs of one app share it, where only links lie in it; who is alone empties it first. The last one removes it.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        yield False
        return
    number = lock.hold_folder(folder, is_alone)
    if number is None:
        yield False
        return
    try:
        if is_alone:
            _empty(folder)
        try:
            yield True
        finally:
            if lock.holds_alone(number):
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(number)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _unpack(folder: Path, place: Path) -> None:
    archive = next((folder / name for name in _ARCHIVES if (folder / name).is_file()), None)
    if archive is None:
        wrong = f"its manifest speaks of compressed output, and there is neither {' nor '.join(_ARCHIVES)}"
        raise StartError(Fault(shown(folder), wrong, "Build the app again"))
    done = subprocess.run(
        ["tar", "-xf", str(archive), "-C", str(place), "--no-same-owner"],  # noqa: S607 - the system's own
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServiceError(
            Fault(shown(archive), f"it cannot be unpacked: {done.stderr.strip()}", "Build the app again")
        )
