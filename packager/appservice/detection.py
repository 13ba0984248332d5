"""Whether an app is Python, as the platform's build decides it, and what version it asks for."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

REQUIREMENTS = "requirements.txt"
_ROOT_FILES = ("pyproject.toml", "setup.py", "uv.lock")
_CONDA_FILES = ("environment.yml", "environment.yaml")
_CONDA_KEYS = {"channels", "dependencies"}
_RUNTIME = re.compile(r"python-", re.IGNORECASE)


def detect(folder: Path, requirements: str, is_recursive: bool) -> str | None:
    """Where an app is Python, relative to its folder: mostly `.`; None if nothing says that it is.

    `requirements` is the file that counts as its requirements.txt.
    """
    if (folder / requirements).is_file() or any((folder / name).is_file() for name in _ROOT_FILES):
        return "."
    if any(folder.glob("*.ipynb")) or any(_is_conda(folder / name) for name in _CONDA_FILES):
        return "."
    if version_asked(folder) is not None:
        return "."
    return next(_folders_with_python(folder, is_recursive), None)


def version_asked(folder: Path) -> str | None:
    """The version in runtime.txt, all behind `python-`; None if the file is not there or says something else."""
    path = folder / "runtime.txt"
    text = path.read_text("utf-8-sig", "replace") if path.is_file() else ""
    return text[match.end() :].strip() if (match := _RUNTIME.match(text)) else None


def _folders_with_python(folder: Path, is_recursive: bool) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        if any(name.endswith(".py") for name in files):
            yield os.path.relpath(place, folder)
        if not is_recursive:
            return


def _is_conda(path: Path) -> bool:
    if not path.is_file():
        return False
    import yaml  # as most apps have no such file

    try:
        found = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and bool(_CONDA_KEYS & {str(key).lower() for key in found})
