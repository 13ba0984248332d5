"""Local stores are watched: who comes near its quota is warned, and the logs of a store are kept under it."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cloudservice.instances import DIAGNOSTIC_STORE, LocalResource

_LOOK = 10.0
"""Seconds between two looks, at least."""
_SHARE = 1000
"""A look may take the thousandth part of the time: the more files there are, the more seldom they are counted."""
_NEARLY = 0.9
_MB = 1024 * 1024

Resources = Mapping[str, Mapping[str, LocalResource]]


async def follow(resources: Callable[[], Resources], tell: Callable[[str, str], None]) -> None:
    """Look at the stores from time to time, and tell an instance's name and what is the matter, once for each matter.

    The store for diagnostics is emptied of its oldest rotated logs before it is too full.
    """
    told: dict[tuple[str, str], str] = {}
    while True:
        began = time.monotonic()
        for instance, text in remarks(await asyncio.to_thread(measure, resources()), told):
            tell(instance, text)
        await asyncio.sleep(max(_LOOK, _SHARE * (time.monotonic() - began)))


def remarks(
    found: Mapping[tuple[str, str], tuple[int, int]], told: dict[tuple[str, str], str]
) -> Iterator[tuple[str, str]]:
    """What is to be told of measured stores, by instance; `told` keeps how full each was said to be."""
    for (instance, store), (size, quota) in found.items():
        level = "is full" if size >= quota else "is nearly full" if size >= _NEARLY * quota else ""
        if level and told.get((instance, store)) != level:
            share = f"{size / _MB:.1f} of {quota // _MB} MB"
            yield instance, f"local store {store} {level}: {share}. In the cloud a write beyond that fails"
        told[instance, store] = level


def measure(resources: Resources) -> dict[tuple[str, str], tuple[int, int]]:
    """The bytes in each store, and its quota, by instance and store."""
    found = {}
    for instance, stores in resources.items():
        for name, store in stores.items():
            quota = store.size_in_mb * _MB
            sizes = dict(_files(store.path))
            total = sum(sizes.values())
            if name == DIAGNOSTIC_STORE and total > _NEARLY * quota:
                total -= _make_room(Path(store.path), sizes, int(total - _NEARLY * quota))
            found[instance, name] = total, quota
    return found


def _make_room(store: Path, sizes: Mapping[str, int], too_many: int) -> int:
    """Remove the oldest rotated logs until enough bytes are gone; returns how many are."""
    rotated = [path for path in (store / "LogFiles").rglob("*.log.*") if str(path) in sizes]
    gone = 0
    for path in sorted(rotated, key=lambda path: path.stat().st_mtime):
        if gone >= too_many:
            break
        path.unlink(missing_ok=True)
        gone += sizes[str(path)]
    return gone


def _files(folder: str) -> Iterator[tuple[str, int]]:
    """The files below a folder and their sizes; what vanishes meanwhile is left out."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118 - there may be very many
            try:
                yield path, os.lstat(path).st_size
            except OSError:
                continue
