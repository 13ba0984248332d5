"""A deployment of an app for App Service on Linux: it is built apart, and takes the place of what was there.

Source: the platform's build, observed and as documented; build.sh has its steps. What is ours: sources of a user are
never written to, a build that fails changes nothing, and an environment of before is copied where nothing is new.
"""

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import uv

from cloudservice import app_settings, appservice, lock
from cloudservice.appservice import Home
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole
from packager import index
from packager.appservice import deployments, detection, environments, output, runtimes, settings, sources
from packager.appservice.failure import NO_PLATFORM, UNSUPPORTED, BuildError
from packager.appservice.runtimes import Runtime
from packager.appservice.settings import Settings
from packager.progress import Report
from packager.tools import stream, without_credentials

_SCRIPT = Path(__file__).with_name("build.sh")
_FROM_OUTSIDE = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
_NOT_FOUND = {
    "current": "Could not find requirements.txt, pyproject.toml, or setup.py; Not installing dependencies. "
    "More information: https://aka.ms/requirements-not-found",
    "documented": "Could not find setup.py or requirements.txt; Not running pip install",
}
_COMMAND_NOT_FOUND = 127
INSTALLERS = ("uv", "pip")


class Order(NamedTuple):
    """What is to be deployed: the app, a folder or a zip, and how.

    `output` is the folder that it goes to; None means wwwroot in its home. `version` is the one that the platform asks
    for, if it does; `properties` are the build's own (`virtualenv_name`, `packagedir`, `compress_virtualenv`).
    """

    app: Path
    output: Path | None
    version: str | None
    properties: Mapping[str, str]
    installer: str = "uv"
    is_compressed: bool = False
    behaviour: str = "current"
    deployment_id: str | None = None
    sources: Path | None = None
    """A folder with what is deployed, where that is not the app itself."""
    settings: Mapping[str, str] = {}
    """Settings that come with the sources; those of the app count more."""
    command: str = ""
    """What deploys in the place of the build: shell text, or a file of the sources."""


class Built(NamedTuple):
    """What a deployment has done: its id, where the app lies, its Python (None if it was only copied), and its log."""

    deployment_id: str
    output: Path
    version: str | None
    log: Path


def deploy(order: Order, see: Callable[[str], None], report: Report) -> Built:
    """Build the app and put it in its place; `see` gets each line of the deployment's log.

    ServiceError, or BuildError with the platform's exit code, and then nothing has changed but for the log.
    """
    home = appservice.home_of(order.app)
    home.make()
    place = order.output or home.wwwroot
    _must_be_possible(order.app, place)
    with (
        lock.wait(home.lock, "deploying this app"),
        deployments.recorded(home, str(order.app), order.deployment_id) as record,
    ):

        def say(line: str) -> None:
            shown_line = without_credentials(line)
            record.say(shown_line)
            see(shown_line)

        try:
            version = _Deployment(order, home, place, say, report).run()
        except ServiceError as error:
            for line in str(error).splitlines():
                record.say(line)
            record.end(getattr(error, "exit_code", 1), None)
            raise
        if place == home.wwwroot:
            record.activate()
        record.end(0, version)
        return Built(record.deployment.id, place, version, record.folder / deployments.LOG)


def _must_be_possible(app: Path, place: Path) -> None:
    if os.name == "nt":
        remedy = "Build it on Linux, macOS or WSL, or with --platform windows"
        raise ServiceError(Fault(shown(app), "apps for Linux are built by bash, which Windows has not", remedy))
    if app == place or (app.is_dir() and app.is_relative_to(place)):
        raise ServiceError(Fault("--output", "it is the folder of the sources", "Choose another folder"))
    if place.exists() and not place.is_dir():
        raise ServiceError(Fault("--output", f"{shown(place)} is no folder", "Choose another"))


class _Deployment:
    """One deployment while it goes on."""

    def __init__(self, order: Order, home: Home, place: Path, say: Callable[[str], None], report: Report) -> None:
        self._order, self._home, self._output, self._say, self._report = order, home, place, say, report
        self._operation = os.urandom(8).hex()
        self._work = Path(tempfile.gettempdir(), self._operation)
        """As the platform names it: an app whose output is compressed runs there, and scripts may name it."""
        self._pending = home.folder / "building"
        environ = {name: value for name, value in os.environ.items() if name not in _FROM_OUTSIDE}
        folder = order.app if order.app.is_dir() else order.app.parent
        self._environ = {**environ, **order.settings, **app_settings.environment(folder)}

    def run(self) -> str | None:
        """Build and switch; the Python version that it was built with."""
        self._clear_pending()
        write_whole(self._pending, str(self._work), durable=False)
        try:
            self._work.mkdir(mode=0o700)
            source = self._source()
            if command := self._environ.get("COMMAND") or self._order.command:
                self._deploy_by(command, source)
                return None
            if not settings.is_built(self._environ, is_default=self._order.app.is_dir()):
                self._say(
                    "SCM_DO_BUILD_DURING_DEPLOYMENT does not ask for a build: the files are deployed as they are."
                )
                sources.mirror(source, self._work, self._never_copied(source), self._say)
                self._switch(self._work, None, {})
                return None
            return self._build(source)
        finally:
            self._clear_pending()

    def _deploy_by(self, command: str, source: Path) -> None:
        """Let a command of the app deploy: it finds the sources, and a copy of what was deployed, to be changed."""
        place = self._work / "wwwroot"
        if self._output.is_dir():
            shutil.copytree(self._output, place, symlinks=True)
        place.mkdir(exist_ok=True)
        environ = {**self._environ, "DEPLOYMENT_SOURCE": str(source), "DEPLOYMENT_TARGET": str(place)}
        wanted = settings.command(source, "COMMAND", command)
        self._say(f"Running custom deployment command: {command}")
        argv = ["bash", "-c", wanted.text] if wanted.text else ["bash", wanted.file]
        code = stream(argv, environ, source, self._say)
        if code:
            raise self._failed(code)
        self._switch(place, None, {})

    def _failed(self, code: int) -> BuildError:
        """What is told of a build, or what takes its place, that ended so."""
        remedy = "Its last lines say why; the app that was there before still is"
        if code == _COMMAND_NOT_FOUND:
            remedy = "A command that it names is not here: install it, or correct the command"
        return BuildError(code, "", Fault(shown(self._order.app), f"the build ended with exit code {code}", remedy))

    def _build(self, source: Path) -> str:
        own = settings.load(source, self._environ, self._order.properties)
        runtime = self._runtime(source, own)
        for line in own.said:
            self._say(line)
        if runtimes.is_outdated(runtime.version):
            self._say(f"WARNING: an outdated version of python was detected: {runtime.version}.")
        self._say(f"Build Operation ID: {self._operation}")
        self._say(f"Using intermediate directory '{self._work}'.")
        names = ["__oryx_packages__"]
        if own.environment:
            names += [own.environment, f"{own.environment}.zip", f"{own.environment}.tar.gz"]
        left_out = {source / name for name in names}
        sources.mirror(source, self._work, left_out | self._never_copied(source), self._say)
        self._run_script(own, runtime)
        self._switch(self._work, own, self._manifest(own, runtime))
        return runtime.version

    def _clear_pending(self) -> None:
        """Remove the folders that this build, or one that was killed, has worked in."""
        if self._pending.is_file():
            work = Path(self._pending.read_text(encoding="utf-8"))
            if work.parent == Path(tempfile.gettempdir()) and appservice.is_deployment_id(work.name):
                shutil.rmtree(work, ignore_errors=True)
            self._pending.unlink()
        shutil.rmtree(self._home.folder / "unpacked", ignore_errors=True)
        shutil.rmtree(output.staged(self._output), ignore_errors=True)

    def _source(self) -> Path:
        """The folder with the sources; those in a zip are unpacked first."""
        if self._order.sources is not None:
            return self._order.sources
        if self._order.app.is_dir():
            return self._order.app
        place = self._home.folder / "unpacked"
        sources.unzip(self._order.app, place)
        return place

    def _never_copied(self, source: Path) -> set[Path]:
        return {source / ".git", source / appservice.STATE, self._output}

    def _runtime(self, source: Path, own: Settings) -> Runtime:
        """The Python by the documented order of who may ask for one."""
        self._say("Detecting platforms...")
        asked_first = self._order.version or own.values.get("PYTHON_VERSION") or own.values.get("PLATFORM_VERSION")
        is_named = self._order.version is not None or own.values.get("PLATFORM_NAME", "").lower() == "python"
        found = None
        if not own.is_on("DISABLE_PYTHON_BUILD"):
            found = detection.detect(source, own.requirements, not own.is_on("DISABLE_RECURSIVE_LOOKUP"))
        if found is None and not (is_named and asked_first):
            self._say("Could not detect any platform in the source directory.")
            if is_named:
                line = "Couldn't detect a version for the platform 'python' in the repo."
                raise BuildError(UNSUPPORTED, line, self._nothing_found("Say which with --runtime"))
            line = "Could not detect the language from repo."
            raise BuildError(NO_PLATFORM, line, self._nothing_found("Add a requirements.txt or a .py file"))
        asked = asked_first or detection.version_asked(source) or own.values.get("PYTHON_DEFAULT_VERSION")
        runtime = runtimes.choose(asked) if asked else runtimes.own()
        if found is not None:
            self._say("Detected following platforms:")
            self._say(f"  python: {runtime.version}")
        return runtime

    def _nothing_found(self, remedy: str) -> Fault:
        return Fault(shown(self._order.app), "nothing in it says that it is Python", remedy)

    def _run_script(self, own: Settings, runtime: Runtime) -> None:
        """Run build.sh; BuildError with its exit code if it fails."""
        with tempfile.TemporaryDirectory(dir=self._home.folder) as scratch:
            parameters = Path(scratch) / "parameters"
            write_whole(parameters, _assignments(self._parameters(own, runtime, scratch)), durable=False)
            parameters.chmod(0o600)
            argv: list[str | Path] = ["bash", "--noprofile", "--norc", _SCRIPT, parameters]
            code = stream(argv, self._environ, self._work, self._say)
        if code:
            raise self._failed(code)

    def _parameters(self, own: Settings, runtime: Runtime, scratch: str) -> Mapping[str, str | list[str]]:
        installer = self._order.installer
        if self._environ.get("PYTHON_FAST_BUILD_ENABLED") == "true":
            installer = "uv"
        for_uv = index.uv_environ()
        node = own.is_on("ENABLE_MULTIPLATFORM_BUILD") and (self._work / "package.json").is_file()
        return {
            "source_dir": str(self._work),
            "destination_dir": str(self._output),
            "scratch": scratch,
            "python": str(runtime.python),
            "fresh": str(environments.fresh(runtime, self._report)),
            "kept": str(self._home.folder / "kept" / runtime.version),
            "uv": uv.find_uv_bin(),
            "uv_environ": [f"{key}={one}" for key, one in for_uv.items() if os.environ.get(key) != one],
            "installer": installer,
            "environment": own.environment,
            "packages": own.packages,
            "keeps_packages": "yes" if own.is_on("ORYX_DISABLE_PIP_UPGRADE") else "",
            "compressed": own.compressed,
            "requirements": own.requirements,
            "os_packages": own.values.get("REQUIRED_OS_PACKAGES", ""),
            "no_collectstatic": "yes" if own.is_on("DISABLE_COLLECTSTATIC") else "",
            "node": "yes" if node else "",
            "not_found": _NOT_FOUND[self._order.behaviour],
            "pre_build": own.pre_build.text,
            "pre_build_file": own.pre_build.file,
            "custom_build": own.custom_build.text,
            "custom_build_file": own.custom_build.file,
            "post_build": own.post_build.text,
            "post_build_file": own.post_build.file,
        }

    def _manifest(self, own: Settings, runtime: Runtime) -> dict[str, str]:
        manifest = {"PythonVersion": runtime.version, "pythonBuildCommandsFile": "oryx-build-commands.txt"}
        if own.packages:
            manifest["packagedir"] = own.packages
        else:
            manifest["virtualEnvName"] = own.environment
            if own.compressed:
                ending = "zip" if own.compressed == "zip" else "tar.gz"
                manifest["compressedVirtualEnvFile"] = f"{own.environment}.{ending}"
        return {
            **manifest,
            "OperationId": self._operation,
            "SourceDirectoryInBuildContainer": str(self._work),
            "PlatformName": "python",
            "CompressDestinationDir": "true" if self._order.is_compressed else "false",
        }

    def _switch(self, made: Path, own: Settings | None, manifest: Mapping[str, str]) -> None:
        """Put the output together, and let it take the place of what was there."""
        self._say("Preparing output...")
        if own is not None and own.environment and own.compressed:
            shutil.rmtree(made / own.environment)
        if self._order.is_compressed and own is not None:
            with_zstd = self._environ.get("ORYX_COMPRESS_WITH_ZSTD") == "true"
            place = output.compress(made, self._output, with_zstd, self._say)
            requirements = made / own.requirements
        else:
            place = output.move(made, self._output)
            requirements = place / (own.requirements if own is not None else detection.REQUIREMENTS)
        if requirements.is_file() and not (place / detection.REQUIREMENTS).exists():
            shutil.copy2(requirements, place / detection.REQUIREMENTS)
        if manifest:
            self._say("Creating a manifest file...")
            output.describe(place, manifest)
            self._say("Manifest file created.")
        if not (self._output != self._home.wwwroot and self._output.is_relative_to(self._order.app)):
            output.keep_rest(self._output, {own.environment, own.packages} if own is not None else ())
        output.take_place(self._output)


def _assignments(parameters: Mapping[str, str | list[str]]) -> str:
    """The parameters as assignments of bash; lists are arrays."""
    lines = []
    for name, value in parameters.items():
        text = shlex.quote(value) if isinstance(value, str) else f"({shlex.join(value)})"
        lines.append(f"_{name}={text}\n")
    return "".join(lines)
