"""invoke certificate: the one under which https endpoints are served on this machine."""

import shutil
import sys
from pathlib import Path

from invoke import Context

from rolepack.command import AS_JSON, command, say, say_json


@command(
    help={
        "trust": "Let your own programs trust it: in your certificate store, of nobody else.",
        "json": AS_JSON,
    },
)
def certificate(_context: Context, trust: bool = False, json: bool = False) -> None:
    """Show the development certificate of https endpoints, made if there is none; trusted only with --trust.

    Example: invoke certificate --trust
    """
    from packager import certificate as made
    from packager.tools import run

    found = made.prepare()
    if trust:
        run(_trusting(found.path), {})
    if json:
        say_json({"path": str(found.path), "sha256": found.fingerprint, "ends": found.ends.isoformat()})
        return
    say(f"{found.path} is valid for localhost and 127.0.0.1 until {found.ends:%Y-%m-%d}.")
    say(f"SHA-256 {found.fingerprint}")
    say("Your programs trust it now." if trust else "Nothing trusts it yet: add --trust, or name it to your client.")


def _trusting(path: Path) -> list[str]:
    """The command with which this system trusts a certificate, for the user alone."""
    from cloudservice.errors import Fault, ServiceError

    if sys.platform == "win32":
        return ["certutil", "-user", "-addstore", "Root", str(path)]
    if sys.platform == "darwin":
        return ["security", "add-trusted-cert", "-r", "trustRoot", str(path)]
    store = Path.home() / ".pki" / "nssdb"
    program = shutil.which("certutil")
    if program is None:
        remedy = "Install it (libnss3-tools on Debian), or tell your client to trust the file"
        raise ServiceError(Fault("--trust", "certutil, which fills the store of browsers, is not here", remedy))
    store.mkdir(parents=True, exist_ok=True)
    return [program, "-d", f"sql:{store}", "-A", "-t", "P,,", "-n", "rolepack development", "-i", str(path)]
