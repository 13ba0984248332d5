"""A folder for the front of an app's path, in which gunicorn is ours, and gives the real one its socket."""

import shlex
from collections.abc import Sequence
from pathlib import Path

_LISTENING = Path(__file__).parents[1] / "hosts" / "listening.py"


def lay(scratch: Path, image: Path, host: str, port: int, sockets: Sequence[int] = ()) -> Path:
    """Make the folder below `scratch`; the socket is made when gunicorn starts, unless there are inherited ones."""
    folder = scratch / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    words = [image / "bin" / "python", "-I", _LISTENING, folder, host, port, ",".join(map(str, sockets))]
    path = folder / "gunicorn"
    path.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return folder
