r"""Where everything of one service lies on a host.

C:\rolepack\python\               the Python of rolepack itself, where the host names none
C:\rolepack\agent\<sha256>.pyz    these programs
C:\rolepack\<service>\            lock.json, state.json, done.json, history.jsonl, parts\
    C:\rolepack\<service>\a\, b\      a deployment: running.json, setups\, instances\, Resources\
    C:\rolepack\<service>\a\<version>\<instance>\    RoleModel.xml and approot, as RoleRoot has them
"""

from pathlib import Path
from typing import NamedTuple

OURS = "rolepack-"
"""How the names of our sites in IIS begin."""


class Place(NamedTuple):
    """The folder of rolepack on this host, and a service."""

    root: Path
    service: str

    @property
    def sessions(self) -> Path:
        """What sessions hold while they live."""
        return self.root / "sessions"

    @property
    def folder(self) -> Path:
        """The service's folder."""
        return self.root / self.service

    @property
    def parts(self) -> Path:
        """Content by its SHA-256."""
        return self.folder / "parts"

    def part(self, sha256: str) -> Path:
        """Where a part lies, or will."""
        return self.parts / sha256[:2] / sha256

    def deployment(self, letter: str) -> Path:
        """The folder of a deployment."""
        return self.folder / letter

    def instance(self, letter: str, version: str, name: str) -> Path:
        """The role root of an instance."""
        return self.deployment(letter) / version / name

    def setup(self, letter: str, sha256: str) -> Path:
        """A version with a configuration."""
        return self.deployment(letter) / "setups" / f"{sha256}.json"

    def life(self, letter: str, name: str) -> Path:
        """The folder in which an instance's worker says how it is, and is told to end."""
        return self.deployment(letter) / "instances" / name

    def worker_lock(self, letter: str, name: str) -> Path:
        """What an instance's worker holds while it lives."""
        return self.life(letter, name) / "worker.lock"

    @property
    def switch_lock(self) -> Path:
        """What is held by who makes a change."""
        return self.folder / "switch.lock"

    def task(self, letter: str, name: str) -> str:
        """The name of an instance's scheduled task."""
        return f"rolepack\\{self.service}\\{letter}\\{name}"

    @property
    def switch_task(self) -> str:
        """The name of the scheduled task that makes the service what it is to be."""
        return f"rolepack\\{self.service}\\switch"

    def site(self, letter: str, instance: str, site: str) -> str:
        """The name of a site in IIS, and of its application pool."""
        return f"{OURS}{self.service}-{letter}-{instance}-{site}"
