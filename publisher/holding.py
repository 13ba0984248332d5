"""The lock that a command has on the hosts, and how it is known that its process has died."""

import getpass
import os
import platform
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError
from publisher.agent.values import Held

_FORGOTTEN = 30 * 24 * 3600.0
"""Seconds for which it is known that a command of this machine has ended."""


@contextmanager
def holding(folder: Path, doing: str) -> Iterator[Held]:
    """What the hosts are told of this command; a file in `folder` is locked as long as it lives.

    The file stays, since a host that could not be unlocked is asked about by a later command.
    """
    _forget_old(folder)
    token = secrets.token_hex(8)
    file = lock.take(_file(folder, token), 0.0)
    try:
        yield Held(token, user(), platform.node(), os.getpid(), now(), doing)
    finally:
        if file is not None:
            file.close()


def is_dead(folder: Path, held: Held) -> bool:
    """Whether the command that holds a lock ran from this folder of this machine, and has ended without letting go."""
    path = _file(folder, held.token)
    return held.machine == platform.node() and held.token.isalnum() and path.exists() and lock.is_free(path)


def fault(host: str, held: Held) -> Fault:
    """Somebody else is at work."""
    wrong = f"{held.who} on {held.machine} has locked it since {held.since}, to {held.doing}"
    return Fault(f"host '{host}'", wrong, "Wait for that; if it has died, unlock it with `invoke deploy-unlock`")


def user() -> str:
    """Who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "somebody"


def now() -> str:
    """The present moment, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def refuse(others: dict[str, Held]) -> None:
    """ServiceError if somebody else is at work."""
    if others:
        raise ServiceError(*(fault(host, held) for host, held in others.items()))


def _forget_old(folder: Path) -> None:
    for path in folder.glob("*.lock"):
        if time.time() - path.stat().st_mtime > _FORGOTTEN and lock.is_free(path):
            path.unlink(missing_ok=True)


def _file(folder: Path, token: str) -> Path:
    return folder / f"{token}.lock"
