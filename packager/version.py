"""Which Python a role is for, as the files say that other tools read too."""

import re
from pathlib import Path

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

DEFAULT = "3.12"
FILES = ("runtime.txt", ".python-version")
"""Heroku's and App Service's file, then that of pyenv and uv; the first that is there counts."""
_WRITTEN = re.compile(r"(?:(?:c?python|PYTHON)[-|= ]?)?(3\.\d+(?:\.\d+)?)")


def parse(text: str) -> str | None:
    """The version that a text names, `3.12` or `3.12.10`, with or without `python-` before it; else None."""
    match = _WRITTEN.fullmatch(text.strip())
    return match[1] if match else None


def of_role(folder: Path) -> str | None:
    """The version that the role in a folder asks for; None if it does not say. ServiceError if that is none."""
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        return None
    lines = enumerate(path.read_text("utf-8-sig", "replace").splitlines(), 1)
    number, written = next(((number, line) for number, line in lines if line.strip() and line[0] != "#"), (1, ""))
    version = parse(written)
    if version is None:
        wrong = f"'{written.strip()}' is no version of CPython 3"
        raise ServiceError(Fault(shown(path), wrong, "Write it as 3.12 or 3.12.10", number))
    return version
