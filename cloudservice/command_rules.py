"""The rules of command lines: what startup tasks and entry points start is there, and Windows can start it."""

import codecs
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from cloudservice import commandline, spelling
from cloudservice.commandline import Files, Script
from cloudservice.document import Document
from cloudservice.element import Element
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from cloudservice.project import Listing
from cloudservice.service import Role, Source
from cloudservice.sources import listing_of

_MOST_LINES = 1000
"""Far above any real role; the files of each are looked for."""
_RUNS_ARGUMENTS = re.compile(rb"(?i)\$args|LaunchWorker\.py")
_SUPPORT = {
    "ps.cmd",
    *(f"{stem}.{ending}" for stem in ("configurecloudservice", "launchworker") for ending in ("ps1", "py")),
}


def check(read: Document, role: Role, element: Element, source: Source) -> list[Fault]:
    """Note what is wrong with the command lines of a role; what is wrong with its project is returned."""
    listing = None
    faults: list[Fault] = []
    try:
        listing = listing_of(source)
    except ServiceError as error:
        faults += error.faults
    judge = _Judge(read, role.name, source, Files(source.folder), listing)
    base = "bin" if role.kind == "web" else ""
    lines = [(task, base) for task in element.all("Startup", "Task")]
    lines += [(entry, "") for entry in element.all("Runtime", "EntryPoint", "ProgramEntryPoint")]
    right: set[tuple[str, str]] = set()
    for where, start in lines:
        line = where.get("commandLine", "")
        if len(right) > _MOST_LINES:
            wrong = f"{element.label} has more than {_MOST_LINES} command lines"
            read.fault(element, "too-large", wrong, "Put them into a batch file")
            break
        if line and (line, start) not in right and not read.is_hopeless and judge.is_right(where, line, start):
            right.add((line, start))
    if base and any(start for _, start in right) and base not in spelling.names(source.folder):
        wrong = f"the startup tasks of {element.label} start in {base}, which is not in {shown(source.folder)}"
        read.fault(element.all("Startup", "Task")[0], "missing-file", wrong, "Create that folder")
    return faults


@dataclass(frozen=True)
class _Judge:
    """Judges the command lines of one role."""

    read: Document
    role: str
    source: Source
    files: Files
    listing: Listing | None

    @property
    def its(self) -> str:
        """What the messages are about."""
        return f"the command line of role '{self.role}'"

    def is_right(self, where: Element, line: str, base: str) -> bool:
        """Whether the line of an element that starts in the folder `base` of the role is; what is wrong is noted."""
        before = len(self.read.faults)
        words = commandline.words(line)
        self._program(where, line, words)
        for name, start, path in commandline.named_files(words, self.files, base):
            if path is None:
                self._missing(where, name, start)
            elif self.listing and not self.listing.holds(path.relative_to(self.source.folder).as_posix()):
                wrong = f"{self.its} names {name}, which is not in its project"
                remedy = f"Add it to {shown(self.source.project or path)} as Content, or it is not packaged"
                self.read.fault(where, "not-in-project", wrong, remedy)
            elif path.suffix.lower() in {".cmd", ".bat"} and _begins_with_mark(path):
                wrong = f"{shown(path)} begins with a byte order mark, which cmd.exe takes for a part of its first line"
                self.read.fault(where, "batch-mark", wrong, "Save it without one")
            elif path.suffix.lower() == ".ps1" and not runs_itself(path):
                twin = PureWindowsPath(name).with_suffix(".py")
                if self.files.find(str(twin), start) is None:
                    self._missing(where, str(twin), start)
        return len(self.read.faults) == before

    def _program(self, where: Element, line: str, words: Sequence[str]) -> None:
        """What Windows, or the script of Python Tools for Visual Studio, would not start."""
        program = words[0] if words else ""
        if not program:
            self.read.fault(where, "no-program", f"{self.its} names no program", "Write one, and its arguments")
        if program.lower().endswith(".ps1"):
            wrong = f"{self.its} starts {program}, and Windows starts no script by its name"
            remedy = f"Write powershell -ExecutionPolicy Unrestricted -File {program}"
            self.read.fault(where, "not-startable", wrong, remedy)
        script = commandline.ps_script(words)
        if script and commandline.program_name(script.name) == "launchworker.ps1" and not script.arguments:
            self._worker(where, line, script)

    def _worker(self, where: Element, line: str, script: Script) -> None:
        """A LaunchWorker.ps1 that runs what it is told, and is told nothing; another one may name a program itself."""
        path = self.files.find(script.name, script.folder)
        if path is not None and _RUNS_ARGUMENTS.search(path.read_bytes()):
            wrong = f"{self.its} gives LaunchWorker.ps1 no program to run"
            self.read.fault(where, "no-worker-program", wrong, f"Write {line} {self.source.startup or 'worker.py'}")

    def _missing(self, where: Element, name: str, start: str) -> None:
        """A file that is there, but not in the folder that the line means, or none at all."""
        base = self.files.root / start
        wrong = f"{self.its} names {name}, which is not in {shown(base)}"
        elsewhere = self.files.find(name) or self.files.find(name, "bin")
        if elsewhere is not None:
            wrong = f"{wrong}, where it is looked for"
            remedy = f"Write {PureWindowsPath(os.path.relpath(elsewhere, base))}"
        elif PureWindowsPath(name).name.lower() in _SUPPORT:
            remedy = f"Add it with `rolepack add-support-files {self.role}` (if it was there, bin/ may be git-ignored)"
        else:
            remedy = "Add the file (is its folder git-ignored?), or correct the command line"
        self.read.fault(where, "missing-file", wrong, remedy)


def runs_itself(script: Path) -> bool:
    """Whether a PowerShell script does not leave its work to the Python file of its name, as those of rolepack do."""
    return f"{script.stem}.py".lower().encode() not in script.read_bytes().lower()


def _begins_with_mark(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(3).startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
