"""Files that change while the service runs: its configuration."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

from cloudservice.errors import Fault
from cloudservice.files import shown
from cloudservice.plain import from_plain
from cloudservice.service import RoleConfiguration
from emulator import process

_LOOK = 0.5
"""Seconds between two looks at a file; a change counts when two looks have seen the same."""

_REST, _DEBOUNCE = 100, 1000
"""Milliseconds without a further change, and after which one counts in any case."""
_WRITTEN = (
    *(r"\.py[cod]$", r"\.___jb_...___$", r"\.sw.$", "~$", r"^\.\#", r"^\.DS_Store$", r"^flycheck_"),
    *(r"\.log(\.\d+)?$", r"\.pid$", r"\.db(-\w+)?$", r"\.sqlite\d?(-\w+)?$", r"\.part$", r"\.tmp$"),
)

Changed = Callable[[Collection[str], Collection[Path]], Awaitable[object]]
Configured = Mapping[str, RoleConfiguration]


async def configuration(
    where: Callable[[], tuple[Path, Path]],
    apply: Callable[[Configured], Awaitable[object]],
    refuse: Callable[[Sequence[Fault]], None],
) -> None:
    """Apply each change of a configuration file, or refuse it for what is wrong with it.

    `where` gives the folder of the definition and the file, which an upgrade may change.
    """
    place, path = where()
    known = seen = _seen(path)
    while True:
        await asyncio.sleep(_LOOK)
        if (place, path) != where():
            place, path = where()
            known = _seen(path)
        before, seen = seen, _seen(path)
        if seen is None or seen == known or seen != before:
            continue
        known = seen
        configured, faults = await _read(place, path)
        if faults:
            refuse(faults)
        else:
            await apply(configured)


async def _read(place: Path, path: Path) -> tuple[Configured, list[Fault]]:
    argv = (sys.executable, "-P", "-m", "emulator.reread", str(place), str(path))
    try:
        found = json.loads(await process.output_of(argv))
    except ValueError:
        return {}, [Fault(shown(path), "the process that reads it has failed", "Save it once more")]
    if "faults" in found:
        return {}, [from_plain(Fault, fault) for fault in found["faults"]]
    return {name: from_plain(RoleConfiguration, one) for name, one in found["configured"].items()}, []


async def sources(folders: Callable[[], Mapping[str, Collection[Path]]], changed: Changed) -> None:
    """Tell the roles whose files have changed, when they have come to rest; `folders` are those of each role.

    What programs write themselves is no change: caches, logs, databases.
    """
    import watchfiles  # which only who wants this has to load

    places = {place for each in folders().values() for place in each}
    ours = watchfiles.DefaultFilter(ignore_entity_patterns=_WRITTEN)
    async for changes in watchfiles.awatch(*places, watch_filter=ours, debounce=_DEBOUNCE, step=_REST):
        paths = [Path(path) for _, path in changes]
        roles = {
            role
            for role, each in folders().items()
            if any(path.is_relative_to(place) for path in paths for place in each)
        }
        if roles:
            await changed(roles, paths)


def _seen(path: Path) -> tuple[int, ...] | None:
    """What the file system says of a file; None while there is none, as when an editor puts another in its place."""
    try:
        there = os.stat(path)  # noqa: PTH116 - three times a second, for ever
    except OSError:
        return None
    return there.st_mtime_ns, there.st_size, there.st_ino
