"""Command lines of a definition: split as Windows does, their files found as Windows finds them."""

import re
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


def split(command_line: str) -> list[str]:
    r"""Words of a command line: blanks separate, double quotes keep blanks, backslashes are ordinary."""
    return [word.replace('"', "") for word in _WORD.findall(command_line)]


def find(folder: Path, path: str) -> Path | None:
    """The file that a Windows path means below `folder`, whatever the case; None if it is not there or outside."""
    parts = PureWindowsPath(path).parts
    if not parts or ".." in parts or PureWindowsPath(path).anchor:
        return None
    found = folder
    for part in parts:
        exact = found / part
        found = exact if exact.exists() else next(_spellings(found, part), exact)
    return found if found.is_file() else None


def missing_files(command_line: str, root: Path, base: Path) -> list[str]:
    """The files that a task or entry point names in the role's folder and that are not there.

    `root` is the role's folder, `base` the one the command starts in. Programs of the system (no folder in the
    name, no batch file) are not looked for. `ps.cmd SCRIPT.ps1 program.py …` starts in its own folder and runs
    the program from the role's.
    """
    words = split(command_line)
    if not words or not (("\\" in words[0]) or words[0].lower().endswith((".cmd", ".bat"))):
        return []
    program = find(base, words[0])
    if program is None:
        return [words[0]]
    if program.name.lower() != "ps.cmd":
        return []
    scripts = [word for word in words[1:2] if find(program.parent, word) is None]
    programs = [word for word in words[2:3] if word.lower().endswith(".py") and find(root, word) is None]
    return scripts + programs


def _spellings(folder: Path, name: str) -> Iterator[Path]:
    """The entries of `folder` that are called `name` in another case, in a stable order."""
    if folder.is_dir():
        yield from sorted(entry for entry in folder.iterdir() if entry.name.lower() == name.lower())
