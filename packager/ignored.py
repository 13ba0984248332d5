"""What git would not keep: support files lie in bin/, which an ignore list for build output names."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from cloudservice.files import shown
from packager import tools

_SPECIAL = re.compile(r"([\[\]*?\\!#])")


class _Line(NamedTuple):
    """A line of an ignore list, and a path that git ignores by it."""

    source: str
    number: str
    pattern: str
    path: str


def advice(folder: Path, paths: Iterable[Path]) -> list[str]:
    """What to do so that git keeps the paths, which need not exist; for each folder and ignoring line once.

    Nothing without git, outside a repository, or for what git keeps already.
    """
    top = Path(tools.git(folder, "rev-parse", "--show-toplevel").rstrip("\n") or os.devnull)
    below = [path.resolve() for path in paths if path.resolve().is_relative_to(top)]
    told: dict[str, None] = {}
    for path in below:
        lines = list(_ignoring(folder, top, path))
        lost = next((line for line in lines if Path(line.path) != path and Path(line.path) != path.parent), None)
        if lost is not None:
            place = f"git would lose {shown(Path(lost.path))}"
            told[f"{place} by {_shown(top, lost)}; remove that line, or narrow it"] = None
        elif lines:
            told[_exception(top, lines[-1], path.parent)] = None
    return list(told)


def _ignoring(folder: Path, top: Path, path: Path) -> Iterator[_Line]:
    """The lines that make git ignore a path or a folder that it lies in, from the top on."""
    above = [f"{parent}/" for parent in reversed(path.parents) if parent.is_relative_to(top) and parent != top]
    asked = "\0".join([*above, str(path)])
    fields = tools.git(folder, "check-ignore", "--verbose", "-z", "--stdin", asked=asked).split("\0")
    for four in zip(fields[::4], fields[1::4], fields[2::4], fields[3::4], strict=False):
        line = _Line(*four)
        if not line.pattern.startswith("!"):
            yield line


def _exception(top: Path, line: _Line, lost: Path) -> str:
    """The lines that keep a folder, in the ignore list itself or, if that is not of the repository, in one that is."""
    source = top / line.source
    is_own = source.is_relative_to(top) and source.name == ".gitignore" and lost.is_relative_to(source.parent)
    base = source.parent if is_own else top
    kept = _SPECIAL.sub(r"\\\1", lost.relative_to(base).as_posix())
    where = "below that line" if is_own else f"into {shown(top / '.gitignore')}"
    return f"git would lose {shown(lost)} by {_shown(top, line)}; write !/{kept}/ and !/{kept}/* {where}"


def _shown(top: Path, line: _Line) -> str:
    return f"{shown(top / line.source)}:{line.number}"
