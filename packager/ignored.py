"""What git would not keep: support files lie in bin/, which an ignore list for build output names."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cloudservice.files import shown
from packager import tools

_SPECIAL = re.compile(r"([\[\]*?\\!#])")


class _Line(NamedTuple):
    """A line of an ignore list."""

    source: str
    number: str


def advice(folder: Path, paths: Iterable[Path]) -> list[str]:
    """What to do so that git keeps the paths, which need not exist; for each folder and ignoring line once.

    Nothing without git, outside a repository, or for what git keeps already.
    """
    top = Path(tools.git(folder, "rev-parse", "--show-toplevel").rstrip("\n") or os.devnull)
    kept = [path.resolve() for path in paths if path.resolve().is_relative_to(top)]
    above = {path: [place for place in reversed(path.parents) if place.is_relative_to(top)] for path in kept}
    folders = {place for places in above.values() for place in places if place != top}
    ignored = _ignored(folder, [*(f"{place}/" for place in folders), *map(str, kept)])
    told: dict[str, None] = {}
    for path in kept:
        lost = next((place for place in above[path][:-1] if place in ignored), None)
        line = ignored.get(path) or ignored.get(path.parent)
        if lost is not None:
            told[f"git would lose {shown(lost)} by {_shown(top, ignored[lost])}; remove that line, or narrow it"] = None
        elif line is not None:
            told[_exception(top, line, path.parent)] = None
    return list(told)


def _ignored(folder: Path, asked: Iterable[str]) -> dict[Path, _Line]:
    """Those of the paths that git ignores, each with the line that makes it so; a folder ends in `/`."""
    fields = tools.git(folder, "check-ignore", "--verbose", "-z", "--stdin", asked="\0".join(asked)).split("\0")
    found = zip(fields[::4], fields[1::4], fields[2::4], fields[3::4], strict=False)
    return {Path(path): _Line(source, line) for source, line, pattern, path in found if not pattern.startswith("!")}


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
