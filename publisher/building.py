"""Builds wheels on a Windows host that has a compiler."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloudservice.errors import Fault, ServiceError
from cloudservice.names import is_file_name
from cloudservice.tells import Tell
from publisher import fleet
from publisher.hosts import Host
from publisher.passwords import Passwords
from publisher.session import Session
from publisher.upload import Upload

_SERVICE = "rolepack-building"
"""In whose folder on the host sdists are kept and built."""
_MOST = 512 * 1024 * 1024

Build = Callable[[Path, str], Path]
"""Gives the wheel of an sdist for a Python such as 3.12; ServiceError if it cannot be built."""


@contextmanager
def builder(host: Host, passwords: Passwords, tell: Tell) -> Iterator[Build]:
    """Builds on a host; the wheels are there as long as the block lasts."""
    with tempfile.TemporaryDirectory() as folder, fleet.opened([host], _SERVICE, passwords, 1) as found:

        def build(sdist: Path, python: str) -> Path:
            tell(f"{host.name}: builds {sdist.name} for Python {python}")
            return found.each(lambda session: _build(session, sdist, python, Path(folder)))[host.name]

        yield build


def _build(session: Session, sdist: Path, python: str, folder: Path) -> Path:
    content = sdist.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    sizes = {sha256: len(content)}
    missing = session.ask("look", "asking", parts=sizes)["missing"]
    Upload(session, sizes, lambda _sha256: iter([content]), missing, _quiet).run()
    return session.converse("building", lambda: _fetched(session, sdist.name, sha256, python, folder))


def _fetched(session: Session, name: str, sha256: str, python: str, folder: Path) -> Path:
    """Build, and keep what comes back, if it is what the host says it is."""
    came = bytearray()

    def take(said: Mapping[str, Any]) -> None:
        came.extend(bytes.fromhex(str(said.get("content", ""))))
        if len(came) > _MOST:
            raise ServiceError(Fault("building", f"its wheel has more than {_MOST:,} bytes", "See what runs there"))

    told = session.send("build", (), take, name=name, sha256=sha256, python=python)
    wheel = str(told["name"])
    if not is_file_name(wheel) or not wheel.endswith(".whl"):
        raise ServiceError(Fault("building", f"it names its wheel '{wheel}'", "Do not trust that host"))
    if hashlib.sha256(came).hexdigest() != told["sha256"]:
        raise ServiceError(Fault("building", f"{wheel} has arrived damaged", "Run the command again"))
    path = folder / wheel
    path.write_bytes(came)
    return path


def _quiet(_text: str, _done: int, _total: int) -> None:
    """An sdist is small."""
