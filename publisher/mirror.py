"""The logs of a slot on this machine, in folders like those of the emulator, so that the same program reads them."""

import base64
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import write_whole
from cloudservice.instances import DIAGNOSTIC_STORE
from cloudservice.names import is_file_name, is_name
from publisher.fleet import Fleet
from publisher.session import Session

_DEPLOYMENT = "published"
_DEEPEST, _MOST_ANSWERS = 8, 250
"""Folders below each other, and answers of up to 4 MB; what is more comes the next time."""
_TRUST = "Do not trust that host before you know what runs there"
_BETWEEN = 1.0
"""Seconds between two questions when logs are followed."""


class Mirror:
    """The logs of one slot below a folder, which keeps what was fetched for the next time."""

    def __init__(self, fleet: Fleet, slot: str, folder: Path) -> None:
        self._fleet, self._slot = fleet, slot
        self._resources = folder / "Resources" / "Directory"
        self._index = folder / "known.json"
        self._known: dict[str, dict[str, list[int]]] = self._read()
        self._owners: dict[str, str] = {}
        """The host that each instance runs on; what another one ran earlier is gone on with."""

    def fetch(self) -> list[Fault]:
        """Get what is new; what keeps hosts from telling."""
        _, faults = self._fleet.attempt(self._fetch)
        write_whole(self._index, json.dumps(self._known), durable=False)
        return [fault for each in faults.values() for fault in each]

    @property
    def has_any(self) -> bool:
        """Whether there is any log."""
        return any(self._resources.rglob("*.log"))

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Go on fetching as long as the block lasts. A host that cannot be asked now is asked again."""
        done = threading.Event()

        def follow() -> None:
            while not done.wait(_BETWEEN):
                self.fetch()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _fetch(self, session: Session) -> None:
        known = self._known.setdefault(session.host.name, {})
        for _ in range(_MOST_ANSWERS):
            answer = session.ask("logs", "logs", slot=self._slot, known=known)
            with session.understanding("logs"):
                for file in answer["files"]:
                    self._keep(session.host.name, known, file)
                if not answer["has_more"]:
                    return

    def _keep(self, host: str, known: dict[str, list[int]], file: Mapping[str, Any]) -> None:
        """Add what has come to a file."""
        path = self._path(host, str(file["name"]))
        data, start = base64.b64decode(file["data"]), int(file["start"])
        if start not in {0, known.get(file["name"], (0, 0))[1]}:
            raise ServiceError(Fault(f"host '{host}', logs", f"it sends {path.name} from {start}", _TRUST))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "w+b") as mirrored:
            mirrored.seek(start)
            mirrored.truncate()
            mirrored.write(data)
        os.utime(path, (min(float(file["changed"]), time.time()),) * 2)
        known[file["name"]] = [int(file["number"]), start + len(data)]

    def _path(self, host: str, name: str) -> Path:
        """Where a log goes; a name that leads elsewhere is refused."""
        instance, *below = name.split("/")
        if not is_name(instance) or not 0 < len(below) <= _DEEPEST or not all(map(is_file_name, below)):
            wrong = f"it names a log '{name}', which is no path below a folder of logs"
            raise ServiceError(Fault(f"host '{host}', logs", wrong, _TRUST))
        if self._owners.setdefault(instance, host) != host:
            wrong = f"it has logs of {instance}, which {self._owners[instance]} runs"
            raise ServiceError(Fault(f"host '{host}', logs", wrong, _TRUST))
        return self._resources.joinpath(f"{_DEPLOYMENT}.{instance}.{DIAGNOSTIC_STORE}", "LogFiles", *below)

    def _read(self) -> dict[str, dict[str, list[int]]]:
        """What is known to be here already; nothing if the files are gone, or the note was cut off."""
        if not self._resources.is_dir():
            return {}
        try:
            return dict(json.loads(self._index.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}
