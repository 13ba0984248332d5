"""Fresh virtual environments, as `python -m venv` makes them, to be copied: their scripts do not name their place."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import platformdirs
import uv

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shared_folder
from cloudservice.tells import Report
from packager import index
from packager.appservice.runtimes import Runtime
from packager.tools import ToolError, run

_SERVERS = ("gunicorn>=23", "flask>=3", "uvicorn-worker>=0.3", "debugpy>=1.8,<2")
"""What the image of the platform brings: the server, the framework of the default page, the worker for ASGI."""
_SEEDS = """
import ensurepip, pathlib, sysconfig
places = [sysconfig.get_config_var("WHEEL_PKG_DIR"), pathlib.Path(ensurepip.__file__).parent / "_bundled"]
print(next(place for place in map(pathlib.Path, filter(None, places)) if place.is_dir()))
"""
_BUNDLED = ("pip", "setuptools")
_ACTIVATES = ("activate", "activate.csh", "activate.fish")
_MADE = "2"
"""Changes with how environments are made."""
_OF_UV = (".gitignore", ".lock", "CACHEDIR.TAG")
"""What uv adds to an environment, and `python -m venv` does not."""
HERE = "@environment@"
"""Stands in the scripts that activate a fresh environment for its place, which a POSIX shell does not tell them."""


def fresh(runtime: Runtime, report: Report) -> Path:
    """An environment with the pip that the Python brings along and nothing else; it is not to be changed."""
    return _made("fresh", runtime, (), report)


def image(runtime: Runtime, report: Report) -> Path:
    """An environment with what the platform's image has beside Python: the runtime kit of its apps."""
    return _made("image", runtime, _SERVERS, report)


def _made(kind: str, runtime: Runtime, packages: tuple[str, ...], report: Report) -> Path:
    key = hashlib.sha256("\0".join([_MADE, runtime.version, str(runtime.python), *packages]).encode()).hexdigest()[:16]
    final = platformdirs.user_cache_path("rolepack") / "appservice" / f"{kind}-{key}"
    if not (final / "bin" / "python").exists():
        report(f"Preparing Python {runtime.version}", 0, 0)
        try:
            with shared_folder(final) as part:
                _make(part, runtime, packages)
        except ToolError as error:
            wrong = f"{runtime.python} could not make an environment: {error}"
            raise ServiceError(Fault(str(final), wrong, "See to that, and build again")) from None
    return final


def _make(place: Path, runtime: Runtime, packages: tuple[str, ...]) -> None:
    uv_program, environ = uv.find_uv_bin(), index.uv_environ()
    make: list[str | Path] = [uv_program, "venv", "--quiet", "--python", runtime.python]
    run([*make, "--relocatable", place], environ)
    _name_place(place, make, environ)
    into: list[str | Path] = ["--quiet", "--python", place / "bin" / "python"]
    if packages:
        run([uv_program, "pip", "install", "--compile-bytecode", *into, *packages], environ)
        return
    seeds = [
        name for name in _BUNDLED if name == "pip" or runtime.version.startswith(("3.8.", "3.9.", "3.10.", "3.11."))
    ]
    try:
        bundled = run([runtime.python, "-I", "-c", _SEEDS]).strip()
        own = [uv_program, "pip", "install", "--no-index", "--find-links", bundled, "--compile-bytecode"]
        run([*own, *into, *seeds], environ)
    except ToolError:  # a Python without them, as distributions have it: the newest ones then
        run([uv_program, "pip", "install", "--compile-bytecode", *into, *seeds], environ)


def _name_place(place: Path, make: Sequence[str | Path], environ: Mapping[str, str]) -> None:
    """Give an environment the scripts of one that stays where it is, with a mark where its place has to be written."""
    for path in (*(place / "bin").glob("activate*"), *(place / "bin").glob("*.bat"), *map(place.joinpath, _OF_UV)):
        path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as other:
        fixed = Path(other) / "environment"
        run([*make, fixed], environ)
        for name in _ACTIVATES:
            text = (fixed / "bin" / name).read_text(encoding="utf-8")
            (place / "bin" / name).write_text(text.replace(str(fixed), HERE), encoding="utf-8")
