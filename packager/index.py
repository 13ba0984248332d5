"""Where packages come from: pip's own settings, said again in uv's words."""

import ast
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from packager.requirements import Asked
from packager.tools import ToolError, run

_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
    "proxy": "ALL_PROXY",
}
_SEPARATED_BY_COMMA = {"UV_FIND_LINKS"}
_BEST = "unsafe-best-match"
"""pip takes the best version of all its indexes; who configured several for pip expects the same here."""


def uv_environ(offline: bool = False) -> dict[str, str]:
    """The environment for uv: this process's own, with pip's configuration where uv has none of its own.

    uv never fetches an interpreter here: a build must not depend on what it could download.
    """
    environ = dict(os.environ)
    for name, value in _pip_settings().items():
        key = _NAMES.get(name)
        if key:
            words = value.split()
            environ.setdefault(key, ",".join(words) if key in _SEPARATED_BY_COMMA else " ".join(words))
    if "UV_INDEX" in environ:
        environ.setdefault("UV_INDEX_STRATEGY", _BEST)
    if offline:
        environ["UV_OFFLINE"] = "1"
    return {**environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}


def with_options(environ: Mapping[str, str], asked: Asked) -> dict[str, str]:
    """The environment with what a requirements file says about indexes, as pip weighs it against its configuration."""
    made = dict(environ)
    if own := asked.values("index-url", "pypi-url"):
        made["UV_DEFAULT_INDEX"] = own[-1]
    if more := asked.values("extra-index-url"):
        made["UV_INDEX"] = " ".join([*made.get("UV_INDEX", "").split(), *more])
        made.setdefault("UV_INDEX_STRATEGY", _BEST)
    if trusted := asked.values("trusted-host"):
        made["UV_INSECURE_HOST"] = " ".join([*made.get("UV_INSECURE_HOST", "").split(), *trusted])
    if asked.values("no-index"):
        made["UV_NO_INDEX"] = "1"
    return made


@dataclass(frozen=True, slots=True)
class Access:
    """How files are fetched: user and password by host, hosts whose certificate does not count, own authorities.

    With `offline` only what lies in a folder is.
    """

    credentials: Mapping[str, tuple[str, str]]
    insecure: frozenset[str]
    certificates: str | None
    proxy: str | None
    offline: bool


def access(environ: Mapping[str, str]) -> Access:
    """What uv's environment says. uv leaves credentials out of what it prints, as it should."""
    credentials = {}
    for url in f"{environ.get('UV_DEFAULT_INDEX', '')} {environ.get('UV_INDEX', '')}".split():
        parts = urlsplit(url)
        if parts.hostname and parts.username is not None:
            credentials[parts.hostname] = (unquote(parts.username), unquote(parts.password or ""))
    insecure = frozenset(environ.get("UV_INSECURE_HOST", "").split())
    ways = environ.get("SSL_CERT_FILE"), environ.get("ALL_PROXY")
    return Access(credentials, insecure, *ways, offline="UV_OFFLINE" in environ)


def _pip_settings() -> dict[str, str]:
    """The settings of pip for installing, the strongest last; none where this interpreter has no pip."""
    try:
        printed = run([sys.executable, "-m", "pip", "config", "list"])
    except ToolError:
        return {}
    settings: dict[str, str] = {}
    # The order of strength is global, then the command's own section, then the environment.
    for section in ("global", "install", ":env:"):
        for line in printed.splitlines():
            key, equals, value = line.partition("=")
            name = key.removeprefix(f"{section}.")
            if equals and name != key:
                settings[name] = str(ast.literal_eval(value))
    return settings
