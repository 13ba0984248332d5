"""build.sh with what it has to know: all steps of a build between the copy of the sources and the output."""

import hashlib
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import uv

from cloudservice.files import sha256_of, write_whole
from cloudservice.tells import Report
from packager import index
from packager.appservice import environments
from packager.appservice.failure import USAGE
from packager.appservice.runtimes import Runtime
from packager.appservice.settings import Settings
from packager.tools import stream

_SCRIPT = Path(__file__).with_name("build.sh")
_NOT_FOUND = {
    "current": "Could not find requirements.txt, pyproject.toml, or setup.py; Not installing dependencies. "
    "More information: https://aka.ms/requirements-not-found",
    "documented": "Could not find setup.py or requirements.txt; Not running pip install",
}


class Job(NamedTuple):
    """What is built: the settings, the Python, the folder of the copy and that of the output.

    `scratch` is a folder for files of the script's own, `kept` the one for the environment of the last build.
    """

    own: Settings
    runtime: Runtime
    work: Path
    output: Path
    scratch: Path
    kept: Path
    installer: str
    behaviour: str


def run(job: Job, environ: Mapping[str, str], say: Callable[[str], None], report: Report) -> int:
    """Build, and return the exit code; one that comes before the end is a failure, whatever it says."""
    parameters = {
        **_of_job(job),
        **_of_installer(environ, job),
        "fresh": str(environments.fresh(job.runtime, report)),
        "not_found": _NOT_FOUND[job.behaviour],
    }
    path = job.scratch / "parameters"
    write_whole(path, _assignments(parameters), durable=False)
    argv: list[str | Path] = ["bash", "--noprofile", "--norc", _SCRIPT, path]
    code = stream(argv, environ, job.work, say)
    if not code and not (job.scratch / "done").exists():
        say("A command has ended the build before its end.")
        return USAGE
    return code


def _of_job(job: Job) -> dict[str, str | list[str]]:
    own = job.own
    node = own.is_on("ENABLE_MULTIPLATFORM_BUILD") and (job.work / "package.json").is_file()
    return {
        "source_dir": str(job.work),
        "destination_dir": str(job.output),
        "scratch": str(job.scratch),
        "python": str(job.runtime.python),
        "kept": str(job.kept),
        "environment": own.environment,
        "packages": own.packages,
        "keeps_packages": "yes" if own.is_on("ORYX_DISABLE_PIP_UPGRADE") else "",
        "compressed": own.compressed,
        "requirements": own.requirements,
        "os_packages": own.values.get("REQUIRED_OS_PACKAGES", ""),
        "no_collectstatic": "yes" if own.is_on("DISABLE_COLLECTSTATIC") else "",
        "node": "yes" if node else "",
        "pre_build": own.pre_build.text,
        "pre_build_file": own.pre_build.file,
        "custom_build": own.custom_build.text,
        "custom_build_file": own.custom_build.file,
        "post_build": own.post_build.text,
        "post_build_file": own.post_build.file,
    }


def _of_installer(environ: Mapping[str, str], job: Job) -> dict[str, str | list[str]]:
    """Uv and its settings, which are pip's; pip itself where uv has no word for one of them."""
    installer = "uv" if environ.get("PYTHON_FAST_BUILD_ENABLED") == "true" else job.installer
    for_uv = index.uv_environ(base=environ)
    own = [f"{key}={one}" for key, one in sorted(for_uv.items()) if environ.get(key) != one]
    own.append("UV_INDEX_STRATEGY=unsafe-best-match")  # pip weighs all its indexes, those of requirements too
    if constraints := index.constraints(environ):
        own.append(f"UV_CONSTRAINT={constraints}")
    offered = [*own, *_offered(for_uv.get("UV_FIND_LINKS", ""), job.work)]
    return {
        "installer": "pip" if index.is_only_for_pip(environ) else installer,
        "uv": uv.find_uv_bin(),
        "uv_environ": [*own, "UV_LINK_MODE=copy"],  # what an app changes in place must not change another's
        "offered": hashlib.sha256("\n".join(offered).encode()).hexdigest(),  # which may have passwords
    }


def _offered(places: str, work: Path) -> Iterator[str]:
    """What tells the packages in folders from others of the same names; times tell nothing of copied sources."""
    for place in filter(None, places.split(",")):
        folder = work / unquote(place.removeprefix("file://"))
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file():
                mark = sha256_of(path) if path.is_relative_to(work) else path.stat().st_mtime_ns
                yield f"{path.name} {path.stat().st_size} {mark}"


def _assignments(parameters: Mapping[str, str | list[str]]) -> str:
    """The parameters as assignments of bash; lists are arrays."""
    lines = []
    for name, value in parameters.items():
        text = shlex.quote(value) if isinstance(value, str) else f"({shlex.join(value)})"
        lines.append(f"_{name}={text}\n")
    return "".join(lines)
