"""What the Python files of an app say of themselves, read and never run."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cloudservice.appservice import STATE

_MOST_FILES = 5000
_NOT_LOOKED_AT = {".git", STATE, "node_modules", "__pycache__", ".tox", ".nox"}
_MAKERS = {"Flask": "", "FastAPI": "-k uvicorn_worker.UvicornWorker ", "Bottle": "", "get_wsgi_application": ""}
"""What makes an application, and the worker that gunicorn needs for it."""


class Application(NamedTuple):
    """An application object: its file, relative to the app, its name, and how gunicorn would be told to serve it."""

    file: Path
    name: str
    worker: str

    @property
    def command(self) -> str:
        """The start-up command for it."""
        folder = "" if self.file.parent == Path() else f"--chdir {self.file.parent.as_posix()} "
        return f"gunicorn --bind=0.0.0.0 --timeout 600 {self.worker}{folder}{self.file.stem}:{self.name}"


def files(app: Path) -> Iterator[Path]:
    """The Python files of an app, those of its root first, without those of virtual environments."""
    found = 0
    for place, folders, names in os.walk(app):
        here = Path(place)
        if (here / "pyvenv.cfg").is_file():
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name not in _NOT_LOOKED_AT)
        for name in sorted(names):
            if name.endswith(".py") and found < _MOST_FILES:
                found += 1
                yield here / name


def parse(path: Path) -> ast.Module | SyntaxError | None:
    """The syntax tree of a file, or what is wrong with it; None if it cannot be read."""
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        return error
    except (OSError, ValueError, RecursionError, MemoryError):
        return None


def applications(app: Path) -> list[Application]:
    """The application objects at the top of modules."""
    found = []
    for path in files(app):
        tree = parse(path)
        for node in tree.body if isinstance(tree, ast.Module) else ():
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                maker = ast.unparse(node.value.func).rpartition(".")[2]
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                if maker in _MAKERS and names:
                    found.append(Application(path.relative_to(app), names[0], _MAKERS[maker]))
    return found


def names_in(tree: ast.Module) -> set[str] | None:
    """The names that a module may define at its top; None if that cannot be told, as after `from x import *`."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
            if "*" in names:
                return None
            found.update(names)
    return found


def imported(app: Path) -> dict[str, Path]:
    """The top-level packages that files of the app import when they are loaded, and one that does.

    What stands in a condition or an exception handler may be missing, and is left out; so are the app's own tests.
    """
    found: dict[str, Path] = {}
    for path in files(app):
        tree = parse(path)
        if path.name.startswith("test") or not isinstance(tree, ast.Module):
            continue
        for node in tree.body:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            else:
                continue
            for name in names:
                found.setdefault(name.partition(".")[0], path)
    return found
