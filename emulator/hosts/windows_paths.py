"""Paths as a web.config for Windows has them, as this system has them."""

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

_REST = r"((?:[\\/][^\\/;\"'|<>*?:%\s]+)*(?:[\\/](?=%))?)(?:[\\/](?=[;\"'\s]|$))?(?![^\\/;\"'\s%])"
_BEFORE = r"(?i)(?<![^;\"'\s=])(?:\\\\\?\\)?(?:(?:[a-z]:|%systemdrive%)?[\\/]home|%home%)"
_ROOT = re.compile(rf"{_BEFORE}[\\/]site[\\/]wwwroot{_REST}")
_LOGS = re.compile(rf"{_BEFORE}[\\/]LogFiles{_REST}")
_SCRIPTS = re.compile(r"(?i)(^|[\\/])env[\\/]Scripts[\\/]([^\\/;\"'\s]+)")
_PACKAGES = re.compile(r"(?i)(^|[\\/])env[\\/]Lib[\\/]site-packages")


class Places(NamedTuple):
    """Where the folders of App Service lie here: that of the site (wwwroot), and that of the logs (LogFiles)."""

    site: Path
    logs: Path

    def local(self, text: str) -> str:
        """A text of a web.config with the paths in it as they are here."""
        text = _ROOT.sub(lambda match: self._joined(self.site, match[1]), text)
        text = _LOGS.sub(lambda match: self._joined(self.logs, match[1]), text)
        if os.name == "nt":
            return text
        text = _SCRIPTS.sub(lambda match: f"{_slash(match[1])}env/bin/{match[2].removesuffix('.exe')}", text)
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        return _PACKAGES.sub(lambda match: f"{_slash(match[1])}env/lib/{version}/site-packages", text)

    @staticmethod
    def _joined(place: Path, rest: str) -> str:
        return str(place) + re.sub(r"[\\/]", lambda _: os.sep, rest)


def _slash(text: str) -> str:
    return "/" if text else ""


def words(command_line: str) -> list[str]:
    """The words of a command line; quotation marks hold blanks together."""
    found = re.findall(r'(?:"[^"]*"?|[^\s"])+', command_line)
    return [word.replace('"', "") for word in found]
