"""Which handler of a web.config answers an address."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from emulator.hosts.webconfig import Handler

ATOMIC = "?>" if sys.version_info >= (3, 11) else "?:"
"""Begins a group of a pattern that is never matched in another way once it has matched; Python 3.10 has none."""


class Chosen(NamedTuple):
    """A handler, and how much of the path it stands for; what follows is path info."""

    handler: Handler
    script: str


def choose(handlers: Iterable[Handler], method: str, path: str, find: Callable[[str], Path | None]) -> Chosen | None:
    """The first handler for the verb and the path (which begins with a slash) whose file is there if it wants one."""
    for handler in handlers:
        if "*" not in handler.verbs and method not in handler.verbs:
            continue
        for script in (script for pattern in handler.paths for script in _stands_for(pattern, path)):
            if _is_there(handler.resource, script, find):
                return Chosen(handler, script)
    return None


def _is_there(resource: str, script: str, find: Callable[[str], Path | None]) -> bool:
    if resource not in {"file", "directory"}:
        return True
    found = find(script)
    return found is not None and (found.is_file() if resource == "file" else found.is_dir())


def _stands_for(pattern: str, path: str) -> Iterator[str]:
    """The beginnings of a path that a pattern matches, up to segments, shortest first; for `*` the whole."""
    if pattern == "*":
        yield path
        return
    compiled = _compiled(pattern.lstrip("/"))
    at = 0
    while at >= 0:
        at = path.find("/", at + 1)
        script = path if at < 0 else path[:at]
        name = script[1:] if "/" in pattern.strip("/") else script.rpartition("/")[2]
        if compiled.fullmatch(name):
            yield script


@lru_cache(256)
def _compiled(pattern: str) -> re.Pattern[str]:
    first, *parts = [re.escape(part) for part in pattern.split("*")]
    last = f".*{parts.pop()}" if parts else ""
    return re.compile(f"{first}{''.join(f'({ATOMIC}.*?{part})' for part in parts)}{last}", re.IGNORECASE)
