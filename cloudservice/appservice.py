"""An app of App Service and its home: the folder that the platform mounts at /home, kept below the app's own folder.

Source: the layout of that folder: `site/wwwroot` is the app that runs, `site/deployments` has a folder for each
deployment, `LogFiles` the logs of the running app.
"""

import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from cloudservice.files import write_whole

ENVIRONMENT = "antenv"
"""The name of the virtual environment that the platform asks the build for."""
MANIFEST = "oryx-manifest.toml"
BUILD_ENV = "build.env"
STATE = ".rolepack"
_FROM_OUTSIDE = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_ID = re.compile(r"[0-9a-f]{7,64}")


class Hosting(NamedTuple):
    """That a web role of a service runs as an app of App Service on Linux, and the start-up command it has there."""

    startup_command: str = ""


class Home(NamedTuple):
    """Where an app's deployments, its running version and its logs lie."""

    folder: Path

    @property
    def wwwroot(self) -> Path:
        """The app as it was deployed."""
        return self.folder / "site" / "wwwroot"

    @property
    def repository(self) -> Path:
        """The sources of the last deployment."""
        return self.folder / "site" / "repository"

    @property
    def deployments(self) -> Path:
        """A folder for each deployment."""
        return self.folder / "site" / "deployments"

    @property
    def active(self) -> Path:
        """The file that names the deployment in wwwroot."""
        return self.deployments / "active"

    @property
    def logs(self) -> Path:
        """The logs of the running app."""
        return self.folder / "LogFiles"

    @property
    def lock(self) -> Path:
        """What the one build of an app holds locked."""
        return self.folder / "build.lock"

    def make(self) -> None:
        """Make the folder, which git does not see, and which is for the user alone: settings may hold secrets."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unseen = next(parent for parent in self.folder.parents if parent.name == STATE) / ".gitignore"
        if not unseen.exists():
            write_whole(unseen, "*\n")


def home_of(app: Path) -> Home:
    """The home of an app: a folder of sources, or a zip of them, beside which it lies."""
    return Home(app.parent / STATE / app.stem if app.is_file() else app / STATE / "home")


def settings_folder(app: Path) -> Path:
    """The folder in which the settings of an app lie: its own, or that of its zip."""
    return app.parent if app.is_file() else app


def inherited() -> dict[str, str]:
    """Our own environment as builds and apps see it: without what would change their interpreter."""
    return {name: value for name, value in os.environ.items() if name not in _FROM_OUTSIDE}


def work_folder(operation: str) -> Path:
    """Where a build works, which the platform names so: an app in an archive runs there, and scripts may name it."""
    return Path(tempfile.gettempdir(), operation)


def is_work_folder(path: Path) -> bool:
    """Whether a folder is one that builds work in; a file that says so may say anything."""
    return path.parent == Path(tempfile.gettempdir()) and is_deployment_id(path.name)


def is_deployment_id(text: str) -> bool:
    """Whether a text may name a deployment."""
    return _ID.fullmatch(text) is not None


def name_of(app: Path) -> str:
    """The name of the site that an app becomes here."""
    return app.stem if app.is_file() else app.name


def parse_build_env(text: str) -> dict[str, str]:
    """The settings in a build.env: `KEY=value` a line; keys in capitals, since theirs do not count."""
    settings = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and key.strip() and not key.startswith(("#", ";", "[")):
            value = value.strip()
            is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
            settings[key.strip().upper()] = value[1:-1] if is_quoted else value
    return settings


def load_build_env(folder: Path) -> dict[str, str]:
    """The settings in the build.env of an app, if it has one."""
    path = folder / BUILD_ENV
    return parse_build_env(path.read_text("utf-8-sig", "replace")) if path.is_file() else {}
