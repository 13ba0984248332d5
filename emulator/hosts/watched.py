"""Whether files of a site have changed. Nobody looks while nobody asks: the question itself has the tree looked at."""

import os
import re
import time
from pathlib import Path

USUAL = r".*((\.py)|(\.config))$"
"""What wfastcgi watches unless WSGI_RESTART_FILE_REGEX says otherwise."""
_LEAST = 0.5
_SHARE = 50
"""A look comes at least half a second after the one before, and so late that looking takes a fiftieth of the time."""
_SKIPPED = {"__pycache__", ".git", ".rolepack", "node_modules"}


class Watched:
    """The files of a folder whose paths match a pattern as wfastcgi has it: from the folder, with backslashes."""

    def __init__(self, folder: Path, pattern: re.Pattern[str]) -> None:
        self._folder = str(folder)
        self._pattern = pattern
        self._next = 0.0
        self._seen = self._look()

    def has_changed(self) -> bool:
        """Whether anything is other than at the last look."""
        if time.monotonic() < self._next:
            return False
        seen = self._look()
        is_other = seen != self._seen
        self._seen = seen
        return is_other

    def _look(self) -> dict[str, tuple[int, int]]:
        began = time.monotonic()
        found: dict[str, tuple[int, int]] = {}
        self._walk(self._folder, "", found)
        now = time.monotonic()
        self._next = now + max(_LEAST, _SHARE * (now - began))
        return found

    def _walk(self, folder: str, above: str, found: dict[str, tuple[int, int]]) -> None:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return
        for entry in entries:
            try:
                if entry.is_dir():
                    if entry.name not in _SKIPPED and not entry.is_symlink():
                        self._walk(entry.path, f"{above}{entry.name}\\", found)
                elif self._pattern.match(above + entry.name):
                    told = entry.stat()
                    found[entry.path] = told.st_mtime_ns, told.st_size
            except OSError:
                continue
