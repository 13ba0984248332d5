"""What was read and made the last time, so that the next time one can tell at a glance that nothing has changed.

As git's index does, it goes by what the file system says of files: times, size and inode, not content.
"""

import contextlib
import json
import os
import sys
import time
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from cloudservice.files import write_whole

_GRANULE = 20_000_000
"""Nanoseconds within which two changes of a file may bear the same time."""
_TOOL = tuple(Path(__file__).parent.parent / name for name in ("cloudservice", "emulator", "packager", "rolepack"))


class Inputs(NamedTuple):
    """What something was made from: files, folders for what may be added to them, and variables of the environment.

    `made` are those among the files that were made along with it.
    """

    files: Iterable[Path]
    variables: Iterable[str]
    made: Collection[Path] = ()


class Memo:
    """A note in a file, of what was made for some words: besides files, it depends on nothing else but them."""

    def __init__(self, path: Path, *words: str | None) -> None:
        """The words are the options of a command; where the user stands, and this Python, come on top."""
        self._path = path
        self._key = [*words, str(Path.cwd()), sys.version, zlib.ZLIB_RUNTIME_VERSION]

    def recall(self) -> Any:
        """What `remember` was told, if not one of the files has changed since; else None."""
        try:
            kept = json.loads(self._path.read_bytes())
            same = all(os.environ.get(name) == value for name, value in kept["variables"].items())
            if same and kept["key"] == self._key and all(_seen(path) == seen for path, seen in kept["seen"].items()):
                return kept["told"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not there, or not ours
            pass
        return None

    def begin(self) -> int:
        """The time before any file is read, in nanoseconds; the note's folder is there, so that noting adds none."""
        with contextlib.suppress(OSError):  # nothing is noted where nothing may be written
            self._path.parent.mkdir(exist_ok=True)
        return time.time_ns()

    def remember(self, began: int, inputs: Inputs, told: Any) -> None:
        """Note what was read or made, and what is to be told if nothing changes.

        `began` is what `begin` gave. If one changed since then it may have done so after
        it was read, and nothing is noted.
        """
        own = (path for folder in _TOOL for path in (folder, *folder.rglob("*.py")))
        try:
            seen = {str(path): _seen(path) for path in (*inputs.files, *inputs.made, *own)}
        except OSError:  # gone by now
            return
        made = set(map(str, inputs.made))
        variables = {name: os.environ.get(name) for name in inputs.variables}
        if all(max(times[:2]) < began - _GRANULE for path, times in seen.items() if path not in made):
            note = json.dumps({"key": self._key, "seen": seen, "variables": variables, "told": told})
            with contextlib.suppress(OSError):
                write_whole(self._path, note, durable=False)


def _seen(path: str | Path) -> list[int]:
    there = os.stat(path)  # noqa: PTH116 - many of them, each of which would make a Path
    return [there.st_mtime_ns, there.st_ctime_ns, there.st_size, there.st_ino]
