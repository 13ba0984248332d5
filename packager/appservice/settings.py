"""The settings of a build: build.env, over that the environment, over both the command line.

Source: the documented configuration of the platform's build. Its booleans are `true` and `false` and nothing else.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cloudservice import appservice
from cloudservice.errors import Fault
from packager.appservice.detection import REQUIREMENTS
from packager.appservice.failure import UNEXPECTED, USAGE, BuildError

_BOOLEANS = (
    "DISABLE_PYTHON_BUILD",
    "DISABLE_COLLECTSTATIC",
    "ORYX_DISABLE_PIP_UPGRADE",
    "DISABLE_RECURSIVE_LOOKUP",
    "ENABLE_MULTIPLATFORM_BUILD",
    "DISABLE_CHECKERS",
    "ENABLE_DYNAMIC_INSTALL",
    "SKIP_PLATFORM_DETECTION",
)
_CUSTOM = "CUSTOM_REQUIREMENTSTXT_PATH"
_PROPERTIES = ("virtualenv_name", "packagedir", "compress_virtualenv")
_APPSVC = "appsvc.yaml"
_NAME = re.compile(r"[\w.\-/]*")


class Command(NamedTuple):
    """A command of the user's: shell text, or an executable file of the app."""

    text: str = ""
    file: str = ""


class Settings(NamedTuple):
    """What a build goes by, and the lines that it says of that before all else.

    Exactly one of the names is not empty: that of the virtual environment or that of the package folder.
    """

    values: Mapping[str, str]
    environment: str
    packages: str
    compressed: str
    pre_build: Command
    custom_build: Command
    post_build: Command
    said: tuple[str, ...] = ()

    @property
    def compressed_file(self) -> str:
        """The archive that the environment becomes, if it does."""
        return f"{self.environment}.{'zip' if self.compressed == 'zip' else 'tar.gz'}"

    def is_on(self, name: str) -> bool:
        """Whether a boolean setting is true."""
        return self.values.get(name, "").lower() == "true"

    @property
    def requirements(self) -> str:
        """The file that counts as requirements.txt, relative to the app."""
        return self.values.get(_CUSTOM) or REQUIREMENTS


def load(folder: Path, environ: Mapping[str, str], properties: Mapping[str, str]) -> Settings:
    """The settings for the app in a folder, with those of the command line; BuildError with all faults in them."""
    values = {**appservice.load_build_env(folder), **environ}
    faults = [*_wrong_booleans(values), *_wrong_properties(properties), *_paths_outside(folder, values, properties)]
    if faults:
        raise BuildError(USAGE, UNEXPECTED, *faults)
    _must_have_requirements(folder, values.get(_CUSTOM, ""))
    packages = properties.get("packagedir", "")
    commands, said = _from_appsvc(folder)
    pre = commands.get("pre-build") or values.get("PRE_BUILD_SCRIPT_PATH") or values.get("PRE_BUILD_COMMAND", "")
    post = commands.get("post-build") or values.get("POST_BUILD_SCRIPT_PATH") or values.get("POST_BUILD_COMMAND", "")
    return Settings(
        values,
        environment="" if packages else properties.get("virtualenv_name") or appservice.ENVIRONMENT,
        packages=packages,
        compressed=properties["compress_virtualenv"] or "tar-gz" if "compress_virtualenv" in properties else "",
        pre_build=command(folder, "the pre-build command", pre),
        custom_build=command(folder, "CUSTOM_BUILD_COMMAND", values.get("CUSTOM_BUILD_COMMAND", "")),
        post_build=command(folder, "the post-build command", post),
        said=said,
    )


def is_built(values: Mapping[str, str], is_default: bool) -> bool:
    """Whether a deployment builds: as SCM_DO_BUILD_DURING_DEPLOYMENT says, which knows 1 and 0 too, or the default."""
    written = values.get("SCM_DO_BUILD_DURING_DEPLOYMENT", "").strip().lower()
    if values.get("ENABLE_ORYX_BUILD", "").strip().lower() == "false":
        return False
    return is_default if not written else written in {"1", "true"}


def _wrong_booleans(values: Mapping[str, str]) -> list[Fault]:
    return [
        Fault(name, f"'{values[name]}' is no boolean", "Write true or false")
        for name in _BOOLEANS
        if values.get(name, "").lower() not in {"", "true", "false"}
    ]


def _wrong_properties(properties: Mapping[str, str]) -> list[Fault]:
    faults = [
        Fault("--property", f"'{name}' is unknown", f"Choose from {', '.join(_PROPERTIES)}")
        for name in properties
        if name not in _PROPERTIES
    ]
    if properties.get("packagedir") and properties.get("virtualenv_name"):
        faults.append(Fault("--property", "packagedir and virtualenv_name exclude each other", "Leave one out"))
    faults += [
        Fault("--property", f"{name} is '{properties[name]}'", "Use letters, digits, points, dashes and slashes")
        for name in ("virtualenv_name", "packagedir")
        if not _NAME.fullmatch(properties.get(name, ""))
    ]
    if properties.get("compress_virtualenv", "tar-gz") not in {"", "tar-gz", "zip"}:
        written = properties["compress_virtualenv"]
        faults.append(Fault("--property", f"compress_virtualenv is '{written}'", "Choose tar-gz or zip"))
    return faults


def _paths_outside(folder: Path, values: Mapping[str, str], properties: Mapping[str, str]) -> list[Fault]:
    given = {_CUSTOM: values.get(_CUSTOM, "")}
    given |= {name: properties.get(name, "") for name in ("virtualenv_name", "packagedir")}
    return [_outside(name, path) for name, path in given.items() if path and not _is_inside(folder, path)]


def _outside(name: str, path: str) -> Fault:
    return Fault(name, f"'{path}' leads out of the app's folder", "Name a path relative to the app's root")


def _is_inside(folder: Path, path: str) -> bool:
    place = Path(os.path.normpath(folder / path))
    return place.is_relative_to(folder) and place.resolve().is_relative_to(folder.resolve())


def _must_have_requirements(folder: Path, path: str) -> None:
    if path and not (folder / path).is_file():
        line = (
            f"Path '{path}' provided to {_CUSTOM} environment variable does not exist in the source repository."
            " Please provide a path relative to the root of the repository."
        )
        raise BuildError(USAGE, line, Fault(_CUSTOM, f"there is no file '{path}'", "Correct the path, or remove it"))


def command(folder: Path, name: str, text: str) -> Command:
    """What a setting runs: a file of the app if the whole of it is the path of one, else shell text.

    BuildError for a file that lies elsewhere.
    """
    is_path = bool(text) and _is_file(folder, text)
    if is_path and not _is_inside(folder, text):
        raise BuildError(USAGE, UNEXPECTED, _outside(name, text))
    return Command(file=str(folder / text)) if is_path else Command(text)


def _is_file(folder: Path, text: str) -> bool:
    try:
        return (folder / text).is_file()
    except (OSError, ValueError):  # what is too long for a path is none
        return False


def _from_appsvc(folder: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """The commands in appsvc.yaml, and what is said of it; a file that cannot be read only warns."""
    path = folder / _APPSVC
    if not path.is_file():
        return {}, ()
    import yaml

    said = ["Found BuildConfigurationFile"]
    try:
        found = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return {}, (*said, f"WARNING: {_APPSVC} cannot be read; it is left out.")
    commands = {key: ";".join(one.strip().splitlines()) for key, one in found.items() if isinstance(one, str)}
    said += [
        f"Overriding the {key} commands with the BuildConfigurationFile section"
        for key in ("pre-build", "post-build")
        if commands.get(key)
    ]
    return commands, tuple(said)
