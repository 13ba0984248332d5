"""A site as a tree of addresses: which folder and which application each belongs to, and what web.config files say."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from emulator.hosts import filtering, handlers, static, webconfig
from emulator.hosts.application import Application
from emulator.hosts.handlers import Chosen
from emulator.hosts.http1 import Refused
from emulator.hosts.static import Kept
from emulator.hosts.webconfig import Config

_KEPT = 1024
_LONGEST = 1024
"""Paths for which what counts is kept, and the characters that one of them may have."""
_METHODS = 20
_FIXED = {"unspecified", "either"}
_LOOK_AGAIN = 0.5
"""Seconds for which what web.config files say is taken as it was."""


class Place(NamedTuple):
    """A folder and the beginning of the addresses that lead to it: empty for the site, else with a slash before it."""

    prefix: str
    folder: Path
    is_application: bool


class Counts:
    """What counts for a path: the web.config files, whether it may be asked for, and the handler of each verb."""

    __slots__ = ("application", "chosen", "config", "kept", "refused")

    def __init__(self, config: Config, path: str) -> None:
        self.config = config
        self.refused: Refused | None = None
        try:
            filtering.check_path(config.filtering, path)
        except Refused as refused:
            self.refused = refused
        self.chosen: dict[str, Chosen | None] = {}
        self.application: Application | None = None
        """What the path belongs to, once somebody has asked."""
        self.kept: Kept | None = None


class Places:
    """The folders of a site, its virtual applications and directories."""

    def __init__(self, places: list[Place], config_names: tuple[str, ...], say: Callable[[str], None]) -> None:
        self._places = sorted(places, key=lambda place: len(place.prefix), reverse=True)
        self._names = config_names
        self._say = say
        self._said: set[str] = set()
        self._counts: dict[str, Counts] = {}
        self._seen: dict[str, tuple[int, int] | None] = {}
        self._look_at = 0.0
        self._changes = 0

    def place_of(self, path: str) -> Place:
        """The innermost folder that a path belongs to."""
        return next(place for place in self._places if _is_below(path, place.prefix))

    def application_of(self, path: str) -> Place:
        """The innermost application that a path belongs to."""
        return next(place for place in self._places if place.is_application and _is_below(path, place.prefix))

    def find(self, path: str) -> Path | None:
        """The file or folder that a path leads to, if there is one."""
        if not path.startswith("/"):
            return None
        place = self.place_of(path)
        return static.resolve(place.folder, path[len(place.prefix) :])

    def counts(self, path: str) -> Counts:
        """What counts for a path; MalformedError if a web.config cannot be read."""
        self.changes()
        known = self._counts.get(path)
        if known is None:
            known = Counts(self._read(path), path)
            if len(path) <= _LONGEST and len(self._counts) <= _KEPT:
                self._counts[path] = known
        return known

    def changes(self) -> int:
        """How often what web.config files say has changed by now."""
        now = time.monotonic()
        if now > self._look_at:
            self._look_at = now + _LOOK_AGAIN
            has_changed = any(_told(name) != before for name, before in self._seen.items())
            self._changes += has_changed
            if has_changed:
                self._seen.clear()
            if has_changed or len(self._counts) > _KEPT:
                self._counts.clear()
        return self._changes

    def handler(self, counts: Counts, method: str, path: str) -> Chosen | None:
        """The handler for a verb and a path, of what counts for that path."""
        if method in counts.chosen:
            return counts.chosen[method]
        chosen = handlers.choose(counts.config.handlers, method, path, self.find)
        if len(counts.chosen) < _METHODS and all(one.resource in _FIXED for one in counts.config.handlers):
            counts.chosen[method] = chosen  # else files decide, which come and go
        return chosen

    def _read(self, path: str) -> Config:
        """Go down from the root to the folder of a path, folder by folder."""
        config = webconfig.USUAL
        segments = [segment for segment in path.split("/") if segment]
        for depth in range(len(segments) + 1):
            folder = "".join(f"/{segment}" for segment in segments[:depth])
            place = self.place_of(f"{folder}/")
            physical = static.resolve(place.folder, folder[len(place.prefix) :])
            if physical is None or not physical.is_dir():
                if not any(_is_below(each.prefix, folder) for each in self._places):
                    break
                continue
            self._seen[str(physical)] = _told(str(physical))
            names = self._names if place.is_application and len(folder) == len(place.prefix) else ("web.config",)
            found = webconfig.find(physical, names)
            if found is None:
                continue
            self._seen[str(found)] = _told(str(found))
            file = webconfig.load(found, f"{folder[1:]}/" if folder else "")
            for line in webconfig.unsupported(file):
                if line not in self._said:
                    self._said.add(line)
                    self._say(line)
            is_below = self.application_of(path).prefix != self.application_of(f"{folder}/").prefix
            config = webconfig.applied(config, file, path[1:], is_below=is_below)
        return config


def _is_below(path: str, prefix: str) -> bool:
    return path[: len(prefix)].lower() == prefix.lower() and path[len(prefix) : len(prefix) + 1] in {"", "/"}


def _told(path: str) -> tuple[int, int] | None:
    try:
        told = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size
