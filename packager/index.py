"""Where packages come from: pip's own settings, said again in uv's words."""

import ast
import os
import sys
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

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


def uv_environ() -> dict[str, str]:
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
        # pip takes the best version of all its indexes; who configured several for pip expects the same here.
        environ.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return {**environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}


def credentials(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """User and password by host, from the index addresses: uv leaves them out of what it prints, as it should."""
    found = {}
    for key in ("UV_DEFAULT_INDEX", "UV_INDEX"):
        for url in environ.get(key, "").split():
            parts = urlsplit(url)
            if parts.hostname and parts.username is not None:
                found[parts.hostname] = (unquote(parts.username), unquote(parts.password or ""))
    return found


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
