"""What should perhaps not be in a bundle: files that look like secrets, and paths that Windows cannot unpack.

A bundle lies in the storage of whoever deploys it, and on every host: what is in it, is readable there.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from packager.bundle import Bundle

DOTENV = r"\.env(\.(?!example$|sample$|template$|dist$)[\w.-]+)?"
"""The names of files of settings, as a pattern; those of examples are none."""
_ENVIRONMENT = re.compile(DOTENV, re.IGNORECASE)
_STORES = re.compile(
    r".+\.(pfx|p12|jks|keystore|ppk|publishsettings)|id_(rsa|dsa|ecdsa|ed25519)|\.(pypirc|netrc|pgpass)", re.I
)
_CONTENT = re.compile(
    rb"(?P<key>-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----)"
    rb"|(?P<account>\bAccountKey\s*=\s*[A-Za-z0-9+/]{40,}=*)"
    rb"|(?P<shared>\bSharedAccess(?:Key|Signature)\s*=\s*[A-Za-z0-9+/%&=]{20,})"
    rb"|(?P<password>\b(?:Server|Data Source|Host)\s*=[^\r\n]{1,200};\s*(?:Password|Pwd)\s*=\s*[^;\s\"'{$%<]{3,})"
    rb"|(?P<url>\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>{}$%]{1,100}:[^\s/:@\"'<>{}$%]{3,200}@[a-z0-9.-])",
    re.IGNORECASE,
)
_SAID = {
    "key": "it holds a private key",
    "account": "it holds the key of a storage account",
    "shared": "it holds a shared access key or signature",
    "password": "it holds a connection string with its password",
    "url": "it holds an address with its password",
}
_MOST = 2 * 1024 * 1024
"""Bytes of a file that is looked into; larger ones are data."""
_LONGEST = 259
"""Characters that most of Windows' programs take in a path."""
_DRIVE = "E:"
"""Where Azure unpacks a role."""


def remarks(bundle: Bundle) -> list[str]:
    """What a user should look at before deploying, a line each; never the secret itself."""
    return [*_secrets(bundle), *_paths(bundle)]


def _secrets(bundle: Bundle) -> Iterator[str]:
    """A warning for each file that looks like one, however many files are the same."""
    by_content = functools.cache(_by_content)
    for role, files in bundle.roles.items():
        for path, name in files.items():
            part = bundle.parts[name]
            if part.compressed or not isinstance(part.source, Path):
                continue
            why = _by_name(path.rpartition("\\")[2])
            where = f"{role}{path}"
            if not why and part.size <= _MOST:
                found = by_content(part.source)
                where, why = (f"{where}:{found[0]}", found[1]) if found else (where, "")
            if why:
                yield f"warning: {where}: {why}, and it lies readable in the bundle. Leave it out with .rolepackignore."


def looks_secret(path: Path) -> str:
    """Why a file looks like a secret, in words; empty if it does not."""
    if why := _by_name(path.name):
        return why
    found = _by_content(path) if path.stat().st_size <= _MOST else None
    return f"line {found[0]}: {found[1]}" if found else ""


def _by_name(name: str) -> str:
    if _ENVIRONMENT.fullmatch(name):
        return "a file of that name holds settings and passwords"
    return "a file of that name holds keys or passwords" if _STORES.fullmatch(name) else ""


def _by_content(path: Path) -> tuple[int, str] | None:
    """The line of a secret, and what it is."""
    content = path.read_bytes()
    found = _CONTENT.search(content)
    return (content.count(b"\n", 0, found.start()) + 1, _SAID[str(found.lastgroup)]) if found else None


def _paths(bundle: Bundle) -> Iterable[str]:
    for role, files in bundle.roles.items():
        long = [path for path in files if len(_DRIVE + path) > _LONGEST]
        if long:
            longest = max(long, key=len)
            yield (
                f"warning: role '{role}' has {len(long)} paths of more than {_LONGEST} characters on a host, such as "
                f"{_DRIVE}{longest}. Shorten names, or leave them out with .rolepackignore."
            )
