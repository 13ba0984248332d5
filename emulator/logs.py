"""The logs of a service's instances, line by line, while the emulator runs and after."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.instances import DIAGNOSTIC_STORE
from emulator import deployment
from emulator.run import state_folder

_PAUSE = 0.1
"""Seconds between two looks at a file that is followed."""


def find(folder: Path, wanted: Iterable[str]) -> dict[str, list[Path]]:
    """The log files of the latest deployment by instance; `wanted` names instances, none means all."""
    resources = state_folder(folder) / "Resources" / "Directory"
    ids = deployment.deployment_ids(resources)
    if not ids:
        raise ServiceError(Fault(shown(folder), "there are no logs", "Start the service with `invoke emulate`"))
    found: dict[str, list[Path]] = {}
    for store in sorted(resources.glob(f"{ids[-1]}.*.{DIAGNOSTIC_STORE}")):
        name = store.name.removeprefix(f"{ids[-1]}.").removesuffix(f".{DIAGNOSTIC_STORE}")
        found[name] = sorted((store / "LogFiles").rglob("*.log"))
    unknown = sorted(set(wanted) - found.keys())
    if unknown:
        wrong = f"there is no instance '{', '.join(unknown)}'"
        raise ServiceError(Fault("--instance", wrong, f"Choose from {', '.join(found)}"))
    return {name: files for name, files in found.items() if not list(wanted) or name in wanted}


def lines(folder: Path, wanted: list[str], follow: bool) -> Iterator[tuple[str, str]]:
    """Each line with its instance's name: file after file, then, when following, what is added to any of them.

    A line that has no end yet is given only when not following; following ends when the caller stops asking.
    """
    places: dict[Path, int] = {}
    while True:
        for name, files in find(folder, wanted).items():
            for path in files:
                for line in _new_lines(path, places, follow):
                    yield name, line
        if not follow:
            return
        time.sleep(_PAUSE)


def _new_lines(path: Path, places: dict[Path, int], whole: bool) -> Iterator[str]:
    with path.open("rb") as file:
        file.seek(places.get(path, 0))
        for line in file:
            if line.endswith(b"\n") or not whole:
                places[path] = places.get(path, 0) + len(line)
                yield line.decode("utf-8", "replace").rstrip("\r\n")
