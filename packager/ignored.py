"""What git would not keep: support files lie in bin/, which an ignore list for build output names."""

from collections.abc import Iterable
from pathlib import Path

from cloudservice.files import shown
from packager import tools


def advice(folder: Path, paths: Iterable[Path]) -> list[str]:
    """What to write so that git keeps the paths, which need not exist; for each folder and ignoring line once.

    Nothing without git or outside a repository.
    """
    top = tools.git(folder, "rev-parse", "--show-toplevel").rstrip("\n")
    if not top:
        return []
    asked = "\0".join(str(path.absolute()) for path in paths)
    fields = tools.git(folder, "check-ignore", "--verbose", "--no-index", "-z", "--stdin", asked=asked).split("\0")
    told = {}
    for source, line, pattern, path in zip(fields[::4], fields[1::4], fields[2::4], fields[3::4], strict=False):
        lost = Path(path).parent
        above = Path(top, source).parent
        if not pattern.startswith("!"):
            kept = f"/{lost.relative_to(above if lost.is_relative_to(above) else top).as_posix()}"
            there = f"git would lose {shown(lost)} by {shown(Path(top, source))}:{line}"
            told[lost, source, line] = f"{there}; write !{kept}/ and !{kept}/* below that line"
    return list(told.values())
