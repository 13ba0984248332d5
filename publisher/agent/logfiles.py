"""The logs of a host's instances, as far as who asks has not got them yet."""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from publisher.agent.values import Instance

_MOST = 4 * 1024 * 1024
"""Bytes of one answer."""

Known = Mapping[str, Sequence[int]]
"""The number of a file and how much of it is there already, by instance and path: `web_IN_0/LogFiles/Site.log`."""


def news(instances: Sequence[Instance], known: Known) -> dict[str, Any]:
    """What is new in the logs, and whether there is more than this answer has."""
    files: list[dict[str, Any]] = []
    room = _MOST
    for name, path in _files(instances):
        try:
            with path.open("rb") as file:
                about = os.fstat(file.fileno())
                number, have = known.get(name, (0, 0))
                start = have if number == about.st_ino and have <= about.st_size else 0
                file.seek(start)
                data = file.read(room)
        except OSError:  # it was rotated away this very moment
            continue
        if not data and name in known and start == have:
            continue
        room -= len(data)
        content = base64.b64encode(data).decode()
        files.append({"name": name, "number": about.st_ino, "start": start, "data": content, "changed": about.st_mtime})
        if room <= 0:
            break
    return {"files": files, "has_more": room <= 0}


def _files(instances: Sequence[Instance]) -> Iterator[tuple[str, Path]]:
    """Every log, those that were rotated, and the marks that say when their lines came."""
    for instance in instances:
        logs = Path(instance.logs)
        for path in sorted(logs.rglob("*")):
            if path.is_file() and ".log" in path.name:
                yield f"{instance.name}/{path.relative_to(logs).as_posix()}", path
