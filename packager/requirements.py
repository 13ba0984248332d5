"""What a role needs, and which line of which file asks for it: requirement files as pip reads them, and what is alike.

Source: pip's documentation of the requirements file format; PEP 621 for pyproject.toml, PEP 751 for pylock.toml.
"""

import hashlib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from cloudservice import encoding
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import sha256_of, shown
from cloudservice.service import Role, Source
from packager.target import Target
from packager.tools import without_credentials

FILE = "requirements.txt"
SHELF = "wheels"
"""A folder of wheels in a role's folder, which are its user's own."""
_UV_LOCK, _PYLOCK, _PROJECT = "uv.lock", "pylock.toml", "pyproject.toml"
_BRIDGE = "wfastcgi"
"""What lies between IIS and a WSGI application; ConfigureCloudService looks for it among the role's packages."""
_SHORT = {"-r": "requirement", "-c": "constraint", "-e": "editable", "-f": "find-links", "-i": "index-url"}
_INCLUDES = {"requirement", "constraint"}
_OF_INDEXES = {"index-url", "pypi-url", "extra-index-url", "trusted-host"}
_OF_PLACES = {*_OF_INDEXES, "find-links"}
_OPTIONS = {*_OF_INDEXES, "find-links", "no-index", "no-binary", "only-binary", "pre", "require-hashes"}
_WITHOUT_EFFECT = {"prefer-binary", "use-feature"}
_OPTION = re.compile(r"(-[rcefi]|--[a-z-]+(?=[=\s]|$))\s*=?\s*(.*)", re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_HASH = re.compile(r"\s--hash[=\s]\s*(\w+:[0-9a-fA-F]+)")
_FOR_BUILDS = re.compile(r"\s(--(?:global-option|install-option|build-option|config-settings?))\b")
_ELSEWHERE = re.compile(r"[a-z+]*://|file:|(?:git|hg|svn|bzr)\+|[./\\]|[A-Za-z]:[\\/]", re.IGNORECASE)
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_EDITABLE = re.compile(r"^(-e|--editable)[=\s]\s*")
_METADATA = ("pyproject.toml", "setup.cfg", "setup.py")


@dataclass(frozen=True, slots=True)
class Line:
    """A requirement, or an option of pip's, on a line of a file; 0 stands for the whole file."""

    file: Path
    number: int
    text: str

    @property
    def where(self) -> str:
        """For messages: `roles/web/requirements.txt:4`."""
        return f"{shown(self.file)}:{self.number}" if self.number else shown(self.file)

    @property
    def requirement(self) -> str:
        """The requirement alone, without `-e` and hashes."""
        return _EDITABLE.sub("", _HASH.sub("", self.text)).strip()

    @property
    def name(self) -> str:
        """The package that it names, as the index writes it; empty for an address or a path that names none."""
        text = self.requirement
        try:
            return canonical(Requirement(text).name)
        except InvalidRequirement:
            egg = re.search(r"#(?:.*&)?egg=([\w.-]+)", text)
            return canonical(egg[1]) if egg else _name_of_file(text.partition(" ;")[0].partition("#")[0])

    @property
    def is_address(self) -> bool:
        """Whether it says where a package lies, and not only what it is called."""
        return " @ " in self.requirement or _is_place(self.requirement)

    def is_for(self, target: Target) -> bool:
        """Whether its marker, if it has one, is true on the target."""
        marker = self.requirement.partition(" ;")[2].strip()
        try:
            return not marker or Marker(marker).evaluate(cast("dict[str, str]", target.environment()))
        except InvalidMarker:
            return True

    @property
    def hashes(self) -> frozenset[str]:
        """The hashes of which a file must have one, as `sha256:…`; none if any file will do."""
        return frozenset(found.lower() for found in _HASH.findall(self.text))

    @property
    def option(self) -> tuple[str, str]:
        """The option that it is, by its long name, and its value; two empty texts for a requirement."""
        match = _OPTION.fullmatch(self.text)
        if match is None:
            return "", ""
        return _SHORT.get(match[1], match[1].removeprefix("--")), match[2].strip().strip("\"'")

    def given(self, folder: Path, copies: Mapping[Path, Path]) -> str:
        """The line for uv: variables filled in, a copy in place of a project, and nothing editable.

        Whoever packages gets an ordinary wheel, so that `-e` says nothing.
        """
        text = _EDITABLE.sub("", self.expanded())
        copy = copies.get(self.local(folder) or folder)
        if copy is None:
            return text
        written = self._place
        return text.replace(written, copy.as_uri() if written.startswith("file:") else str(copy), 1)

    @property
    def _place(self) -> str:
        """The path or the address that it names, without extras."""
        text = re.sub(r"^[\w.-]+(\[.*?\])?\s*@\s*", "", self.requirement.partition(" ;")[0].partition("#")[0]).strip()
        return re.sub(r"\[[\w,\s.-]*\]$", "", text)

    def expanded(self) -> str:
        """The text with `${NAME}` replaced by the environment's value, where it has one."""
        return _VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), self.text)

    def local(self, folder: Path) -> Path | None:
        """The file or folder of this machine that it asks for; its path is relative to `folder`."""
        text = self._place
        if text.startswith("file:"):
            return Path(url2pathname(urlsplit(text).path))
        place = folder / text
        return place if "://" not in text and _is_place(text) and place.exists() else None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a role needs.

    `path` is the file that asks, which need not exist; relative paths count from its folder. `locked` is a file that
    names every version already, instead of lines. `added` are packages that no file asks for. `shelf` are the wheels of
    the user's own, which win over the same version from elsewhere. `included` are the files that `path` names.
    """

    path: Path
    lines: tuple[Line, ...] = ()
    constraints: tuple[Line, ...] = ()
    options: tuple[Line, ...] = ()
    locked: Path | None = None
    added: tuple[str, ...] = ()
    shelf: tuple[Path, ...] = ()
    included: tuple[Path, ...] = ()

    @property
    def files(self) -> list[Path]:
        """The files and folders that it was read from; a wheel may be added to a shelf."""
        beside = [self.path.with_name(_PROJECT)] if self.locked is not None else []
        found = [self.path, *beside, *self.included, self.shelf_folder, *self.shelf]
        return [path for path in dict.fromkeys(found) if path.exists()]

    @property
    def local(self) -> list[Path]:
        """The files and the projects nearby that it names."""
        folder = self.path.parent
        if self.locked is not None:
            named = (folder / path for path in _paths(_toml(self.locked)) if path not in {"", "."})
            return [place for place in dict.fromkeys(named) if place.exists()]
        return list(dict.fromkeys(filter(None, (line.local(folder) for line in self.lines))))

    @property
    def variables(self) -> list[str]:
        """The variables of the environment that its lines name."""
        lines = (*self.lines, *self.constraints, *self.options)
        return sorted({name for line in lines for name in _VARIABLE.findall(line.text)})

    @property
    def is_nothing(self) -> bool:
        """Whether no package is asked for."""
        return not (self.lines or self.locked or self.added)

    @property
    def shelf_folder(self) -> Path:
        """Where a wheel of the user's own belongs; the folder need not be there."""
        return _shelf_folder(self.path)

    @property
    def shelf_shown(self) -> str:
        """The same for messages."""
        return f"{shown(self.shelf_folder)}/"

    def line_of(self, package: str) -> Line | None:
        """The line that names a package, or that of the file in which all versions are locked."""
        if self.locked is not None:
            wanted = f'name = "{package}"'
            lines = enumerate(self.locked.read_text("utf-8", "replace").splitlines(), 1)
            return next((Line(self.locked, number, text) for number, text in lines if text.startswith(wanted)), None)
        wanted = canonical(package)
        named = (line for line in self.lines if line.name == wanted)
        # A folder or an address may be called like the package in it.
        nameless = (line for line in self.lines if not line.name and wanted in canonical(line.requirement))
        return next(named, None) or next(nameless, None)

    def fault(self, package: str | None, wrong: str, remedy: str) -> Fault:
        """A fault at the line that names the package, or at the file when another package needs it."""
        line = None if package is None else self.line_of(package)
        return Fault(shown(self.path) if line is None else line.where, wrong, remedy)

    def values(self, *options: str) -> list[str]:
        """What the file gives for options, in order."""
        told = ((line, *line.option) for line in self.options)
        return [Line(line.file, 0, value).expanded() for line, name, value in told if name in options]

    def fingerprint(self, target: Target, *more: str) -> str:
        """Changes when other packages may be meant; not with comments, line ends or where the packages come from."""
        words = [target.platform, target.python, *self.added, *more]
        words += [f"constraint {line.expanded()}" for line in self.constraints]
        words += [line.text for line in self.options if line.option[0] not in _OF_PLACES]
        if self.locked is not None:
            read = (self.locked, *([self.locked.with_name(_PROJECT)] if self.locked.name == _UV_LOCK else []))
            words += [path.read_text("utf-8", "replace") for path in read if path.is_file()]
        words += [f"{wheel.name} {sha256_of(wheel)}" for wheel in self.shelf]
        for line in self.lines:
            words += [without_credentials(line.expanded()), *_metadata(line.local(self.path.parent))]
        return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]


def canonical(name: str) -> str:
    """The name of a package as every index and lock has it."""
    return str(canonicalize_name(name))


def of(role: Role, source: Source, target: Target, named: str | None = None) -> Asked | None:
    """What a role needs on the target, which may be nothing but a Python; None for a role in another language.

    `named` is another file for it than the usual ones, relative to the role's folder.
    """
    path = usual(source.folder) if named is None else source.folder / named
    if named is not None and not path.exists():
        wrong = "there is no such file, and requirements in invoke.yaml names it"
        raise ServiceError(Fault(shown(path), wrong, "Correct that, or add the file"))
    if source.language != "Python" and not path.exists():
        return None
    _check_python(path, target)
    added = (_BRIDGE,) if source.language == "Python" and role.kind == "web" and target.is_windows else ()
    return read(path, added)


def _check_python(path: Path, target: Target) -> None:
    """ServiceError if the project that asks does not allow the target's Python."""
    project = _toml(path).get("project") if path.name == _PROJECT and path.is_file() else None
    allowed = project.get("requires-python") if isinstance(project, dict) else None
    if not isinstance(allowed, str):
        return
    try:
        if SpecifierSet(allowed).contains(target.python, prereleases=True):
            return
        wrong = f"requires-python is '{allowed}', and the target has Python {target.python}"
        remedy = "Correct it, or choose another with --python, runtime.txt or .python-version"
    except InvalidSpecifier:
        wrong, remedy = f"requires-python is '{allowed}', which is no range of versions", "Write it as >=3.12"
    raise ServiceError(Fault(shown(path), wrong, remedy))


def read(path: Path, added: tuple[str, ...] = ()) -> Asked:
    """What a file asks for, which need not exist; ServiceError with every line that cannot be meant.

    It is a requirements file, a pyproject.toml, a pylock.toml, a uv.lock, or a folder of wheels.
    """
    shelf = _shelf(_shelf_folder(path))
    if path.is_dir():
        named = {"==".join(_parsed(wheel)): wheel for wheel in shelf}
        lines = tuple(Line(wheel, 0, requirement) for requirement, wheel in named.items())
        return Asked(path, lines, added=added, shelf=shelf)
    if path.name == _UV_LOCK or re.fullmatch(r"pylock(\..+)?\.toml", path.name):
        return Asked(path, locked=path, added=added, shelf=shelf)
    if path.name == _PROJECT:
        return Asked(path, _dependencies(path), added=added, shelf=shelf)
    reading = _Reading()
    if path.is_file():
        reading.read(path, reading.lines)
    if reading.faults:
        raise ServiceError(*reading.faults)
    lines, constraints, options = map(tuple, (reading.lines, reading.constraints, reading.options))
    included = tuple(file for file, _ in reading.seen)
    return Asked(path, lines, constraints, options, added=added, shelf=shelf, included=included)


def usual(folder: Path) -> Path:
    """The file, or folder of wheels, that says what a role needs; requirements.txt if there is none."""
    for name in (FILE, _UV_LOCK, _PYLOCK):
        if (folder / name).is_file():
            return folder / name
    if (folder / _PROJECT).is_file() and "project" in _toml(folder / _PROJECT):
        return folder / _PROJECT
    return folder / SHELF if _shelf(folder / SHELF) else folder / FILE


@dataclass
class _Reading:
    """What was found in a requirements file and in those that it includes."""

    lines: list[Line] = field(default_factory=list)
    constraints: list[Line] = field(default_factory=list)
    options: list[Line] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: set[tuple[Path, bool]] = field(default_factory=set)

    def read(self, file: Path, into: list[Line]) -> None:
        """Read a file that exists, once as requirements and once as constraints."""
        key = (file.resolve(), into is self.lines)
        if key in self.seen:
            return
        self.seen.add(key)
        try:
            lines = list(_logical(file))
        except UnicodeDecodeError:
            self.faults.append(Fault(shown(file), "it is no text in UTF-8 or UTF-16", "Save it as UTF-8"))
            return
        for line in lines:
            self._take(line, into)

    def _take(self, line: Line, into: list[Line]) -> None:
        option, value = line.option
        if option in _INCLUDES:
            self._include(line, value, self.constraints if option == "constraint" else into)
        elif option == "find-links" and (line.file.parent / value).exists():
            place = (line.file.parent / value).absolute()
            self.options.append(Line(line.file, line.number, f"--find-links {place}"))
        elif option in _OPTIONS:
            self.options.append(line)
        elif option in ("", "editable"):
            self.faults += _faults(line)
            into.append(line)
        elif option not in _WITHOUT_EFFECT:
            wrong = f"'--{option}' is not known in a requirements file"
            self.faults.append(Fault(line.where, wrong, "Remove it"))

    def _include(self, line: Line, value: str, into: list[Line]) -> None:
        if "://" in value:
            wrong = "a file of another machine is included, which may change without a trace"
            self.faults.append(Fault(line.where, wrong, "Put a copy of it here"))
        elif not (line.file.parent / value).is_file():
            self.faults.append(Fault(line.where, f"there is no file '{value}'", "Correct the path, or add the file"))
        else:
            self.read(line.file.parent / value, into)


def _is_place(text: str) -> bool:
    """Whether a text looks like a path or an address, and not like a name."""
    return _ELSEWHERE.match(text) is not None or text.endswith(_ARCHIVES) or "/" in text


def _name_of_file(text: str) -> str:
    """The package that the file name at the end of a path or an address tells; empty if it is none of a package."""
    name = text.strip().replace("\\", "/").rpartition("/")[2]
    try:
        return str((parse_wheel_filename if name.endswith(".whl") else parse_sdist_filename)(name)[0])
    except (InvalidWheelFilename, InvalidSdistFilename):
        return ""


def _faults(line: Line) -> Iterator[Fault]:
    """Why a requirement cannot be meant as it is written."""
    if line.hashes and not any(one.startswith("sha256:") for one in line.hashes):
        yield Fault(line.where, "none of its hashes is a SHA-256", "Write --hash=sha256:…, which every index tells")
    if found := _FOR_BUILDS.search(line.text):
        wrong = f"{found[1]} is for a build, and wheels are built without options"
        yield Fault(line.where, wrong, f"Remove it, or put a wheel that was built with it into {SHELF}/")
        return
    text = line.requirement
    if line.is_address and "@" not in text.partition("/")[0]:
        return
    try:
        Requirement(line.expanded().partition(" --")[0])
    except InvalidRequirement as error:
        reason = str(error).partition("\n")[0]
        yield Fault(line.where, f"it is no requirement: {reason}", "Write it as name==1.0")


def _logical(file: Path) -> Iterator[Line]:
    """The lines of a file that say something; one that ends in a backslash goes on in the next."""
    content = file.read_bytes()
    found = encoding.detect(content) or encoding.Encoding("utf-8")
    begun, number = "", 0
    for at, physical in enumerate(found.decode(content).splitlines(), 1):
        number = number if begun else at
        text = f"{begun} {physical.strip()}" if begun else physical.strip()
        if text.endswith("\\") and not _COMMENT.search(physical):
            begun = text[:-1].strip()
            continue
        begun = ""
        said = _COMMENT.sub("", text).strip()
        if said:
            yield Line(file, number, said)
    if begun:
        yield Line(file, number, begun)


def _dependencies(path: Path) -> tuple[Line, ...]:
    """The dependencies in a pyproject.toml, each with the line that has it."""
    read = _toml(path)
    project = read.get("project", {})
    asked = project.get("dependencies", []) if isinstance(project, dict) else None
    if not isinstance(asked, list) or not all(isinstance(one, str) for one in asked):
        wrong = "dependencies is no list of texts" if isinstance(project, dict) else "project is no table"
        raise ServiceError(Fault(shown(path), wrong, "Write it as PEP 621 says"))
    if read.get("tool", {}).get("uv", {}).get("sources"):
        wrong = "[tool.uv.sources] says where its packages come from, and only a uv.lock brings that along"
        raise ServiceError(Fault(shown(path), wrong, f"Run `uv lock` there, and keep the {_UV_LOCK}"))
    if "dependencies" in _dynamic(project):
        wrong = "its dependencies are dynamic, so that only a build could tell them"
        raise ServiceError(Fault(shown(path), wrong, f"Write them out, or keep a {_UV_LOCK} beside it"))
    text = list(enumerate(path.read_text("utf-8").splitlines(), 1))
    lines = [Line(path, next((number for number, line in text if one in line), 0), one) for one in asked]
    faults = [fault for line in lines for fault in _faults(line)]
    if faults:
        raise ServiceError(*faults)
    return tuple(lines)


def _paths(lock: dict[str, Any]) -> Iterator[str]:
    """The folders and files of this machine that a uv.lock or a pylock names."""
    packages = [*lock.get("package", []), *lock.get("packages", [])]
    for package in packages if all(isinstance(one, dict) for one in packages) else ():
        for key in ("source", "directory", "archive", "sdist"):
            named = package.get(key)
            if isinstance(named, dict):
                found = (named.get(kind) for kind in ("path", "directory", "editable"))
                yield from (path for path in found if isinstance(path, str))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ServiceError(Fault(shown(path), f"it is no TOML: {error}", "Correct it")) from None


def is_dynamic(project: Path) -> bool:
    """Whether only a build tells what a project in a folder needs, or which version it is."""
    path = project / _PROJECT
    table = _toml(path).get("project") if path.is_file() else None
    return not isinstance(table, dict) or bool(_dynamic(table))


def _dynamic(project: dict[str, Any]) -> list[str]:
    """The fields that the metadata of a project leave to its build."""
    found = project.get("dynamic", [])
    return [str(one) for one in found] if isinstance(found, list) else []


def _shelf_folder(path: Path) -> Path:
    """The shelf beside a file that asks, or the folder of wheels that does."""
    return path if path.is_dir() else path.parent / SHELF


def _shelf(folder: Path) -> tuple[Path, ...]:
    """The wheels in a folder; ServiceError if one has the name of none."""
    wheels = sorted(folder.glob("*.whl"))
    faults = []
    for wheel in wheels:
        try:
            _parsed(wheel)
        except InvalidWheelFilename as error:
            faults.append(Fault(shown(wheel), f"it is no wheel: {error}", "Give it the name that it was built with"))
    if faults:
        raise ServiceError(*faults)
    return tuple(wheels)


def _parsed(wheel: Path) -> tuple[str, str]:
    name, version, *_ = parse_wheel_filename(wheel.name)
    return str(name), str(version)


def _metadata(place: Path | None) -> Iterable[str]:
    """What tells whether a file, or the needs of a project in a folder, have changed."""
    if place is None:
        return
    if place.is_file():
        yield sha256_of(place)
    for name in _METADATA:
        if (place / name).is_file():
            yield sha256_of(place / name)
    if place.is_dir() and is_dynamic(place):
        from packager import projects

        yield projects.digest(place)  # any file of it may say what it needs
