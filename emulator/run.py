"""What an emulator process is told to run, and where it keeps its files."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cloudservice.files import write_whole
from cloudservice.plain import from_plain, to_plain
from cloudservice.service import Service

GRACE = 30.0


class Image(NamedTuple):
    """What the platform's image brings for a role that App Service hosts, its Python, and the start-up command."""

    place: Path
    version: str
    command: str


class Runtime(NamedTuple):
    """The interpreter of a role's environment and, for a web role, the folder with its web server.

    A role that is debugged has the folder with debugpy, and the port of its first instance, after which those of the
    others follow.
    """

    python: Path
    kit: Path | None
    debugger: Path | None = None
    debug_port: int | None = None
    image: Image | None = None


class Run(NamedTuple):
    """A service in its folder, the roles of it to run, and the folders and runtimes of these roles.

    `sites` has the folders of a role's sites and of what lies below them, by role and names (sites.key). The definition
    lies in `place`, and edits of the file `configuration` are applied; roles whose settings change recycle, or else
    only see it in their role environment. With `reloads`, so do roles whose files change. https is served by the
    `certificate`, a file and that of its key.
    `grace` are the seconds between the request to end and the kill.
    """

    folder: Path
    service: Service
    roles: tuple[str, ...]
    sources: Mapping[str, Path]
    sites: Mapping[str, Mapping[str, Path]]
    runtimes: Mapping[str, Runtime]
    detached: bool
    place: Path
    configuration: Path
    grace: float = GRACE
    recycles_on_change: bool = True
    reloads: bool = False
    waits_for_debugger: bool = False
    certificate: tuple[Path, ...] = ()

    @property
    def state(self) -> Path:
        """The folder for everything that a run writes."""
        return state_folder(self.folder)


def state_folder(folder: Path) -> Path:
    """Where the emulator of the service in `folder` keeps its files."""
    return folder / ".rolepack" / "emulator"


def make_state_folder(folder: Path) -> Path:
    """That folder, which is for the user alone: settings may hold secrets, and instances find theirs in it."""
    made = state_folder(folder)
    made.mkdir(mode=0o700, parents=True, exist_ok=True)
    return made


def lock_file(state: Path) -> Path:
    """What the one emulator of a service holds locked."""
    return state / "lock"


def write(run: Run) -> Path:
    """Lay the run down for the one process that will read it."""
    path = make_state_folder(run.folder) / f"run-{os.getpid()}.json"
    write_whole(path, json.dumps(to_plain(run)))
    return path


def take(path: Path | str) -> Run:
    """Read what `write` wrote, and remove it."""
    told = from_plain(Run, json.loads(Path(path).read_text(encoding="utf-8")))
    Path(path).unlink()
    return told
