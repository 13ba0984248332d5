"""invoke certificate: the one under which https endpoints are served on this machine."""

import contextlib
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

    found = made.prepare()
    if trust:
        _trust(found.path)
    if json:
        say_json({"path": str(found.path), "sha256": found.fingerprint, "ends": found.ends.isoformat()})
        return
    say(f"{found.path} is valid for localhost and 127.0.0.1 until {found.ends:%Y-%m-%d}.")
    say(f"SHA-256 {found.fingerprint}")
    say("Your programs trust it now." if trust else "Nothing trusts it yet: add --trust, or name it to your client.")


def _trust(path: Path) -> None:
    """Let the user's programs trust a certificate; ServiceError if the system's own program for that does not."""
    from cloudservice.errors import Fault, ServiceError
    from packager.tools import ToolError, run

    if sys.platform == "win32":
        argv = ["certutil", "-user", "-addstore", "Root", str(path)]
    elif sys.platform == "darwin":
        argv = ["security", "add-trusted-cert", "-r", "trustRoot", str(path)]
    else:
        named = _in_store_of_browsers()
        with contextlib.suppress(ToolError):  # until none is left
            while True:
                run([*named, "-D"])
        argv = [*named, "-A", "-t", "P,,", "-i", str(path)]
    try:
        run(argv)
    except ToolError as error:
        remedy = "Repair your certificate store, or tell your client to trust the file"
        raise ServiceError(Fault("--trust", f"your certificate store does not take it: {error}", remedy)) from None


def _in_store_of_browsers() -> list[str]:
    """How commands for the certificate begin, in the store that browsers on Linux share."""
    from cloudservice.errors import Fault, ServiceError

    program = shutil.which("certutil")
    if program is None:
        remedy = "Install it (libnss3-tools on Debian), or tell your client to trust the file"
        raise ServiceError(Fault("--trust", "certutil, which fills the store of browsers, is not here", remedy))
    store = Path.home() / ".pki" / "nssdb"
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    return [program, "-d", f"sql:{store}", "-n", "rolepack development"]
