"""A deployment of an app for App Service on Linux: it is built apart, and takes the place of what was there.

Source: the platform's build, observed and as documented; build.sh has its steps. What is ours: sources of a user are
never written to, a build that fails changes nothing, and an environment of before is copied where nothing is new.
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from cloudservice import app_settings, appservice, lock
from cloudservice.appservice import Home
from cloudservice.build_manifest import Manifest
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole
from cloudservice.tells import Report
from packager.appservice import deployments, detection, output, repository, runtimes, script, settings, sources
from packager.appservice.failure import NO_PLATFORM, UNSUPPORTED, BuildError
from packager.appservice.repository import Pushed
from packager.appservice.runtimes import Runtime
from packager.appservice.settings import Settings
from packager.tools import stream, without_credentials

_COMMAND_NOT_FOUND = 127
_PENDING, _SCRATCH = "building", "scratch"
"""Below an app's home: the file that names the folder that a build works in, and the folder with its own files."""
INSTALLERS = ("uv", "pip")


class Order(NamedTuple):
    """What is to be deployed: the app, a folder or a zip, or what was pushed to its git remote, and how.

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
    pushed: Pushed | None = None


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
    place = order.output.resolve() if order.output is not None else home.wwwroot
    _must_be_possible(order.app, place)
    deployment_id = order.pushed.commit if order.pushed else None
    with (
        lock.wait(home.lock, "deploying this app"),
        deployments.recorded(home, str(order.app), deployment_id) as record,
    ):

        def say(line: str) -> None:
            shown_line = without_credentials(line)
            record.say(shown_line)
            see(shown_line)

        one = _Deployment(order, home, place, say, report)
        try:
            version = one.run()
        except ServiceError as error:
            for line in str(error).splitlines():
                record.say(line)
            is_superseded = isinstance(error, repository.SupersededError)
            record.end(error.exit_code, None, "superseded" if is_superseded else "failed")
            raise
        finally:
            one.clear()
        if place == home.wwwroot:
            record.activate()
        record.end(0, version)
        return Built(record.deployment.id, place, version, record.folder / deployments.LOG)


def _must_be_possible(app: Path, place: Path) -> None:
    """ServiceError for a system without bash, and for an output that would cost the user something."""
    if os.name == "nt":
        remedy = "Build it on Linux, macOS or WSL, or with --platform windows"
        raise ServiceError(Fault(shown(app), "apps for Linux are built by bash, which Windows has not", remedy))
    where, remedy = "--output", "Choose another folder"
    if app.is_relative_to(place):
        raise ServiceError(Fault(where, "it is the folder of the sources", remedy))
    if place.exists() and not place.is_dir():
        raise ServiceError(Fault(where, f"{shown(place)} is no folder", remedy))
    if not place.is_relative_to(app) or place == appservice.home_of(app).wwwroot:
        return
    if place.relative_to(app).parts[0] in {appservice.STATE, ".git"}:
        raise ServiceError(Fault(where, f"{shown(place)} is not for outputs", remedy))
    if place.is_dir() and any(place.iterdir()) and not (place / appservice.MANIFEST).is_file():
        raise ServiceError(Fault(where, f"{shown(place)} has sources in it", remedy))


class _Deployment:
    """One deployment while it goes on."""

    def __init__(self, order: Order, home: Home, place: Path, say: Callable[[str], None], report: Report) -> None:
        self._order, self._home, self._output, self._say, self._report = order, home, place, say, report
        self._began = time.monotonic()
        self._operation = os.urandom(8).hex()
        self._work = appservice.work_folder(self._operation)
        self._scratch = home.folder / _SCRATCH
        self._environ: dict[str, str] = {}

    def run(self) -> str | None:
        """Build and switch; the Python version that it was built with."""
        self.clear()
        output.clear(self._output)
        write_whole(self._home.folder / _PENDING, str(self._work), durable=False)
        self._work.mkdir(mode=0o700)
        self._scratch.mkdir(mode=0o700)
        source, command, given = self._source()
        app = self._order.app
        own = app_settings.environment(appservice.settings_folder(app))
        self._environ = {**appservice.inherited(), **given, **own}
        if command := self._environ.get("COMMAND") or command:
            self._deploy_by(command, source)
            return None
        if settings.is_built(self._environ, is_default=app.is_dir()):
            return self._build(source)
        self._say("SCM_DO_BUILD_DURING_DEPLOYMENT does not ask for a build: the files are deployed as they are.")
        sources.mirror(source, self._work, (), self._say)
        self._switch(None, {})
        return None

    def clear(self) -> None:
        """Remove the folders that this build, or one that was killed, has worked in."""
        pending = self._home.folder / _PENDING
        if pending.is_file():
            work = Path(pending.read_text(encoding="utf-8"))
            if appservice.is_work_folder(work):
                shutil.rmtree(work, ignore_errors=True)
            pending.unlink()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _source(self) -> tuple[Path, str, Mapping[str, str]]:
        """The folder with a copy of the sources, and the command and the settings that come with what was pushed."""
        place, app = self._home.repository, self._order.app
        shutil.rmtree(place, ignore_errors=True)
        if self._order.pushed is not None:
            repository.must_be_latest(self._order.pushed)
            repository.check_out(self._order.pushed, place)
            found = repository.load_deployment(place)
            return found.project, found.command, found.settings
        if app.is_dir():
            sources.mirror(app, place, {app / ".git", app / appservice.STATE, self._output}, self._say)
        else:
            sources.unzip(app, place)
        return place, "", {}

    def _deploy_by(self, command: str, source: Path) -> None:
        """Let a command of the app deploy: it finds the sources, and a copy of what was deployed, to be changed."""
        output.copy(self._output, self._work)
        environ = {**self._environ, "DEPLOYMENT_SOURCE": str(source), "DEPLOYMENT_TARGET": str(self._work)}
        wanted = settings.command(source, "COMMAND", command)
        self._say(f"Running custom deployment command: {command}")
        argv = ["bash", "-c", wanted.text] if wanted.text else ["bash", wanted.file]
        if code := stream(argv, environ, source, self._say):
            raise self._failed(code)
        self._say("Preparing output...")
        output.move(self._work, self._output)
        output.take_place(self._output)

    def _failed(self, code: int) -> BuildError:
        """What is told of a build, or what takes its place, that ended so."""
        remedy = "Its last lines say why"
        if self._output.is_dir():
            remedy += "; the app that was there before still is"
        if code == _COMMAND_NOT_FOUND:
            remedy = "A command that it names is not here: install it, or correct the command"
        return BuildError(code, "", Fault(shown(self._order.app), f"the build ended with exit code {code}", remedy))

    def _build(self, source: Path) -> str:
        self._say(f"Build Operation ID: {self._operation}")
        own = settings.load(source, self._environ, self._order.properties)
        runtime = self._runtime(source, own)
        for line in own.said:
            self._say(line)
        if runtimes.is_outdated(runtime.version):
            self._say(f"WARNING: an outdated version of python was detected: {runtime.version}.")
        self._say(f"Using intermediate directory '{self._work}'.")
        names = ["__oryx_packages__"]
        if own.environment:
            names += [own.environment, f"{own.environment}.zip", f"{own.environment}.tar.gz"]
        sources.mirror(source, self._work, {source / name for name in names}, self._say)
        kept = self._home.folder / "kept" / runtime.version
        how = (self._order.installer, self._order.behaviour)
        job = script.Job(own, runtime, self._work, self._output, self._scratch, kept, *how)
        if code := script.run(job, self._environ, self._say, self._report):
            raise self._failed(code)
        self._switch(own, self._manifest(own, runtime))
        self._say(f"Total execution done in {time.monotonic() - self._began:.0f} sec(s).")
        return runtime.version

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

    def _manifest(self, own: Settings, runtime: Runtime) -> Manifest:
        manifest = {"PythonVersion": runtime.version, "pythonBuildCommandsFile": "oryx-build-commands.txt"}
        if own.packages:
            manifest["packagedir"] = own.packages
        else:
            manifest["virtualEnvName"] = own.environment
            if own.compressed:
                manifest["compressedVirtualEnvFile"] = own.compressed_file
        return {
            **manifest,
            "OperationId": self._operation,
            "SourceDirectoryInBuildContainer": str(self._work),
            "PlatformName": "python",
            "CompressDestinationDir": "true" if self._order.is_compressed else "false",
        }

    def _switch(self, own: Settings | None, manifest: Manifest) -> None:
        """Put the output together, and let it take the place of what was there."""
        made = self._work
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
            if (self._output / appservice.MANIFEST).is_file():
                self._say("Removing existing manifest file")
            self._say("Creating a manifest file...")
            output.describe(place, manifest)
            self._say("Manifest file created.")
        if self._output == self._home.wwwroot or not self._output.is_relative_to(self._order.app):
            output.keep_rest(self._output, {own.environment, own.packages} if own is not None else ())
        output.take_place(self._output)
