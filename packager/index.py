"""Where packages come from: pip's own settings, said again in uv's words."""

import configparser
import locale
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import platformdirs

if TYPE_CHECKING:
    from packager.requirements import Asked


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
_OF_NO_MATTER = {
    *("cache-dir", "config-file", "constraint", "disable-pip-version-check", "no-cache-dir", "no-color", "no-input"),
    *("no-python-version-warning", "no-warn-script-location", "prefer-binary", "progress-bar", "quiet", "retries"),
    *("require-virtualenv", "root-user-action", "verbose", "break-system-packages"),
}
"""Settings of pip that do not change what is installed, or that uv is told of where that counts."""
_SEPARATED_BY_COMMA = {"UV_FIND_LINKS"}
_BEST = "unsafe-best-match"
"""pip takes the best version of all its indexes; who configured several for pip expects the same here."""


def uv_environ(offline: bool = False, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for uv: this process's own or another one, with pip's configuration where uv has none of its own.

    uv never fetches an interpreter here: a build must not depend on what it could download.
    """
    environ = dict(os.environ if base is None else base)
    for name, value in _pip_settings(environ).items():
        key = _NAMES.get(name)
        if key:
            words = value.split()
            environ.setdefault(key, ",".join(words) if key in _SEPARATED_BY_COMMA else " ".join(words))
    if "UV_INDEX" in environ:
        environ.setdefault("UV_INDEX_STRATEGY", _BEST)
    if offline:
        environ["UV_OFFLINE"] = "1"
    return {**environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}


def with_options(environ: Mapping[str, str], asked: "Asked") -> dict[str, str]:
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


def constraints(environ: Mapping[str, str]) -> str:
    """The files of constraints that pip's configuration in an environment names, parted by blanks."""
    return " ".join(_pip_settings(environ).get("constraint", "").split())


def is_only_for_pip(environ: Mapping[str, str]) -> bool:
    """Whether pip's configuration in an environment has a setting that changes what is installed, unknown to uv."""
    return not _pip_settings(environ).keys() <= {*_NAMES, *_OF_NO_MATTER}


def _pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of pip for installing, by their long options.

    Read here, since pip needs half a second to tell them. Source: its documentation of configuration files: the later
    file wins, then the section of the command wins over `global`, and the environment over both.
    """
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for path in _pip_files(environ.get("PIP_CONFIG_FILE", "")):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, locale.getpreferredencoding(False))
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself says what is wrong there, when it is used
        for name, settings in sections.items():
            if parser.has_section(name):
                settings.update({_option(key): value for key, value in parser.items(name)})
    prefix = "PIP_"
    written = {_option(key.removeprefix(prefix)): one for key, one in environ.items() if key.startswith(prefix) and one}
    return {**sections["global"], **sections["install"], **written}


def _option(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _pip_files(own: str) -> list[Path]:
    """The files that pip reads, the strongest last; if its own one, PIP_CONFIG_FILE, is os.devnull, it reads none."""
    if own == os.devnull:
        return []
    name = "pip.ini" if os.name == "nt" else "pip.conf"
    places = [
        Path(place, name) for place in platformdirs.site_config_dir("pip", False, multipath=True).split(os.pathsep)
    ]
    if os.name == "posix":
        places.append(Path("/etc", name))
    places.append(Path.home() / ("pip" if os.name == "nt" else ".pip") / name)
    user = platformdirs.user_config_path("pip", appauthor=False, roaming=True)
    if sys.platform == "darwin" and not user.is_dir():
        user = Path.home() / ".config" / "pip"
    return [*places, user / name, Path(sys.prefix, name), *([Path(own)] if own else [])]
