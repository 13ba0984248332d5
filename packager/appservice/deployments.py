"""The deployments of an app: a folder for each, with its log, apart from the app's own logs, and how it ended."""

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

from cloudservice import appservice, lock
from cloudservice.appservice import Home
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import entries, shown, write_whole
from cloudservice.plain import from_plain, to_plain

LOG = "log.log"
_STATUS = "status.json"


class Deployment(NamedTuple):
    """One deployment: where it came from, when it was (ISO 8601, UTC), and its status.

    That is `building`, `success`, `failed`, `superseded` or `interrupted`; `exit_code` is that of the build.
    """

    id: str
    source: str
    started: str
    status: str = "building"
    ended: str | None = None
    exit_code: int | None = None
    version: str | None = None


class Record:
    """The deployment that is going on; what it says goes to its log."""

    def __init__(self, home: Home, source: str, deployment_id: str | None) -> None:
        self._home = home
        self.deployment = Deployment(deployment_id or os.urandom(20).hex(), source, _now())
        self.folder = home.deployments / self.deployment.id
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log: IO[str] = (self.folder / LOG).open("w", encoding="utf-8", errors="backslashreplace")
        self._write()

    def say(self, line: str) -> None:
        """Add a line to the log."""
        self._log.write(f"{_now()} {line}\n")
        self._log.flush()

    def end(self, exit_code: int, version: str | None, status: str = "success") -> None:
        """Note how it ended."""
        ended = self.deployment._replace(status=status, ended=_now(), exit_code=exit_code, version=version)
        self.deployment = ended
        self._write()
        self._log.close()

    def activate(self) -> None:
        """Note that this deployment is the one in wwwroot."""
        write_whole(self._home.active, f"{self.deployment.id}\n")

    def _write(self) -> None:
        write_whole(self.folder / _STATUS, json.dumps(to_plain(self.deployment), indent=2) + "\n", durable=False)


@contextmanager
def recorded(home: Home, source: str, deployment_id: str | None) -> Iterator[Record]:
    """A record of what happens in the block; an end without a word becomes a failure, as does an interruption."""
    record = Record(home, source, deployment_id)
    try:
        yield record
    finally:
        if record.deployment.ended is None:
            record.end(1, None, "failed")


def active(home: Home) -> str | None:
    """The deployment in wwwroot."""
    return home.active.read_text(encoding="utf-8").strip() if home.active.is_file() else None


def load(home: Home) -> list[Deployment]:
    """All deployments, the latest first."""
    found = []
    for folder in entries(home.deployments):
        path = folder / _STATUS
        if appservice.is_deployment_id(folder.name) and path.is_file():
            with contextlib.suppress(ValueError, TypeError):  # what a loss of power has left of it
                found.append(from_plain(Deployment, json.loads(path.read_text(encoding="utf-8"))))
    if lock.is_free(home.lock):  # who was building has been killed
        found = [one._replace(status="interrupted") if one.status == "building" else one for one in found]
    return sorted(found, key=lambda one: one.started, reverse=True)


def log_of(home: Home, prefix: str) -> Path:
    """The log of the deployment whose id begins so; ServiceError if that is not exactly one."""
    fitting = [one.id for one in load(home) if one.id.startswith(prefix)]
    if len(fitting) != 1:
        wrong = f"{'several deployments begin' if fitting else 'no deployment begins'} with '{prefix}'"
        remedy = "Take more of its id" if fitting else "`webapp-deployments` lists them"
        raise ServiceError(Fault(shown(home.deployments), wrong, remedy))
    return home.deployments / fitting[0] / LOG


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
