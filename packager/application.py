"""The WSGI application of a web role that is there, found in its files without running them."""

import ast
from collections.abc import Iterator
from pathlib import Path

USUAL = "app.wsgi_app"
"""The handler of a role in which none is found, as Visual Studio's templates have it."""
_MODULES = ("app", "application", "wsgi", "main", "web")
_NAMES = ("wsgi_app", "application", "app")


def find(place: Path) -> str | None:
    """What WSGI_HANDLER should name: an object of a usual name in a module of one; None if there is none."""
    package = django(place)
    if package:
        return f"{package}.wsgi.application"
    for module in _MODULES:
        there = set(_names(place / f"{module}.py"))
        for name in _NAMES:
            if name in there:
                return f"{module}.{name}"
    return None


def django(place: Path) -> str:
    """The package that holds the settings of a Django project in a folder; empty if there is none."""
    found = sorted(path.parent.name for path in place.glob("*/wsgi.py") if (path.parent / "settings.py").is_file())
    return found[0] if found and (place / "manage.py").is_file() else ""


def _names(path: Path) -> Iterator[str]:
    """The names that a module binds at its top; none if it is no Python of this version."""
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in statement.names)
