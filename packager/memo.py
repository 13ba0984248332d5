"""What the last packaging read and made, so that the next one can tell at a glance that nothing has changed.

As git's index does, it goes by what the file system says of files: times, size and inode, not content.
"""

import contextlib
import json
import os
import sys
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudservice.files import write_whole

_GRANULE = 20_000_000
"""Nanoseconds within which two changes of a file may bear the same time."""
_TOOL = tuple(Path(__file__).parent.parent / name for name in ("cloudservice", "packager", "rolepack"))


def key(*words: str | None) -> list[str | None]:
    """What a packaging depends on besides files: its options, where the user stands, and this Python."""
    return [*words, str(Path.cwd()), sys.version, zlib.ZLIB_RUNTIME_VERSION]


def recall(root: Path, key: Sequence[str | None]) -> Any:
    """What `remember` was told for that key, if not one of the files has changed since; else None."""
    try:
        kept = json.loads(_place(root).read_bytes())
        same = all(os.environ.get(name) == value for name, value in kept["variables"].items())
        if same and kept["key"] == key and all(_seen(path) == seen for path, seen in kept["seen"].items()):
            return kept["told"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not there, or not ours
        pass
    return None


def begin(root: Path) -> int:
    """The time before any file is read, in nanoseconds; the folder of the note is there, so that noting adds none."""
    with contextlib.suppress(OSError):  # nothing is noted where nothing may be written
        _place(root).parent.mkdir(exist_ok=True)
    return time.time_ns()


@dataclass(frozen=True, slots=True)
class Inputs:
    """What something was made from: files, folders for what may be added to them, and variables of the environment."""

    files: Iterable[Path]
    variables: Iterable[str]


def remember(root: Path, key: Sequence[str | None], began: int, inputs: Inputs, told: Any) -> None:
    """Note what was read or made, and what is to be told if nothing changes.

    `began` is what `begin` gave. If one changed since then it may have done so after
    it was read, and nothing is noted.
    """
    own = (path for folder in _TOOL for path in (folder, *folder.rglob("*.py")))
    try:
        seen = {str(path): _seen(path) for path in (*inputs.files, *own)}
    except OSError:  # gone by now
        return
    made = set(told["made"])
    variables = {name: os.environ.get(name) for name in inputs.variables}
    if all(max(times[:2]) < began - _GRANULE for path, times in seen.items() if path not in made):
        with contextlib.suppress(OSError):
            write_whole(_place(root), json.dumps({"key": key, "seen": seen, "variables": variables, "told": told}))


def _place(root: Path) -> Path:
    return root / ".rolepack" / "package.json"


def _seen(path: str | Path) -> list[int]:
    there = os.stat(path)  # noqa: PTH116 - many of them, each of which would make a Path
    return [there.st_mtime_ns, there.st_ctime_ns, there.st_size, there.st_ino]
