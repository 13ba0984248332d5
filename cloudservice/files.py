"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; on success it takes the name, on any error it is gone.

    The rename is atomic on one file system, so a reader or a kill sees the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, _mode(path))
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (as UTF-8, line ends as given) or bytes to `path`, replacing what was there."""
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def shown(path: Path) -> str:
    """The path as a user would type it: relative to the current folder where it lies below it."""
    try:
        relative = str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
    return str(path.absolute()) if relative == "." else relative


def _mode(path: Path) -> int:
    """The mode of the file that is replaced, else what the umask leaves of rw-rw-rw-."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask
