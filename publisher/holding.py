"""The lock that a command has on the hosts, and how it is known that its process has died."""

import getpass
import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cloudservice import lock
from cloudservice.errors import Fault, ServiceError
from publisher.agent.values import Held


@contextmanager
def holding(folder: Path, doing: str) -> Iterator[Held]:
    """What the hosts are told of this command; a file in `folder` is locked as long as it lives."""
    token = secrets.token_hex(8)
    path = _file(folder, token)
    file = lock.take(path, 0.0)
    try:
        yield Held(token, user(), platform.node(), os.getpid(), now(), doing)
    finally:
        if file is not None:
            file.close()
        path.unlink(missing_ok=True)


def is_dead(folder: Path, held: Held) -> bool:
    """Whether the command that holds a lock ran from this folder of this machine, and has ended without letting go."""
    path = _file(folder, held.token)
    if held.machine != platform.node() or not held.token.isalnum() or not path.exists() or not lock.is_free(path):
        return False
    path.unlink(missing_ok=True)
    return True


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


def _file(folder: Path, token: str) -> Path:
    return folder / f"{token}.lock"
