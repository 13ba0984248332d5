"""What an app is, as the start of the container finds it out from its files alone."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from cloudservice.appservice import ENVIRONMENT

_FLASK = {
    "current": ("application", "app", "run", "index", "server", "wsgi"),
    "documented": ("application", "app"),
}
_FASTAPI = ("main", "app", "application", "server", "asgi", "api", "index", "run")
_FASTAPI_SINCE = (3, 14)
DEFAULT_MODULE = "application:app"


class Detected(NamedTuple):
    """A framework, and the module for gunicorn; `worker` is the class of its workers, if not the usual one."""

    framework: str
    module: str
    worker: str = ""


def detect(app: Path, version: str, environment: str, has_fastapi: bool, behaviour: str) -> Detected | None:
    """The first that fits: Django, FastAPI, Flask; None if nothing does.

    `environment` is the name of the virtual environment that the platform gives, in which nothing is looked for.
    FastAPI is known since Python 3.14, unless it is switched off, and to the source alone.
    """
    found = _django(app, environment)
    if found is None and has_fastapi and behaviour == "current" and _minor(version) >= _FASTAPI_SINCE:
        found = _fastapi(app)
    return found or _flask(app, behaviour)


def _django(app: Path, environment: str = ENVIRONMENT) -> Detected | None:
    """By a wsgi.py in a folder of the app, the first of these by the bytes of their names."""
    for name in sorted(os.listdir(app), key=os.fsencode):
        folder = app / name
        is_folder = stat.S_ISDIR(folder.lstat().st_mode)
        if is_folder and name != environment and _is_file(folder / "wsgi.py"):
            return Detected("Django", f"{name}.wsgi")
    return None


def _fastapi(app: Path) -> Detected | None:
    """By what a file imports; whether it has an `app` is not asked."""
    for name in _FASTAPI:
        path = app / f"{name}.py"
        text = path.read_text("utf-8", "replace") if _is_file(path) else ""
        if ("from fastapi" in text or "import fastapi" in text) and "from flask" not in text:
            return Detected("FastAPI", f"{name}:app", "uvicorn_worker.UvicornWorker")
    return None


def _flask(app: Path, behaviour: str) -> Detected | None:
    """By the name of a file, whatever it contains."""
    names = os.listdir(app)  # a file system may not tell capitals from small letters, and the platform's does
    for name in _FLASK[behaviour]:
        if f"{name}.py" in names and _is_file(app / f"{name}.py"):
            return Detected("Flask", f"{name}:app")
    return None


def _is_file(path: Path) -> bool:
    return path.is_file()


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])
