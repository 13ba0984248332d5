"""A git remote on this machine that deploys what is pushed to it, as that of an app in the cloud does.

Source: the documented deployment from a local git repository: the branch that is deployed, `.deployment`, commits that
ask not to be deployed.
"""

import configparser
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cloudservice.appservice import Home
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, write_whole
from packager.tools import ToolError, run

NAME = "azure"
"""What the documentation calls the remote."""
_BRANCHES = ("master", "main")
_SKIPS = ("[skip azurewebsites]", "[azurewebsites skip]")
_GONE = "0" * 40
_FILE = ".deployment"


class _AsWritten(configparser.RawConfigParser):
    """Settings keep the case of their names."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


class Pushed(NamedTuple):
    """What was pushed to a remote: the branch, and its commit, whose message is given."""

    remote: Path
    branch: str
    commit: str
    message: str

    @property
    def is_skipped(self) -> bool:
        """Whether the commit asks not to be deployed."""
        return any(word in self.message for word in _SKIPS)


class Deployment(NamedTuple):
    """What `.deployment` says: where in the repository the app lies, a command in place of the build, and settings."""

    project: Path
    command: str
    settings: Mapping[str, str]


def make(home: Home, app: Path, runtime: str | None) -> Path:
    """Make the remote of an app, or have it deploy for another runtime; its folder."""
    place = home.folder / f"{app.name}.git"
    home.make()
    _git("init", "--quiet", "--bare", str(place))
    words = [sys.executable, "-P", "-m", "rolepack.received", str(app), *([runtime] if runtime else [])]
    hook = place / "hooks" / "post-receive"
    hook.parent.mkdir(exist_ok=True)
    write_whole(hook, f"#!/bin/sh\nexec {shlex.join(words)}\n")
    hook.chmod(0o755)
    return place


def name_remote(app: Path, place: Path) -> bool:
    """Let the app's own repository know the remote; False if it is none, or has another one of that name."""
    try:
        if Path(_git("-C", str(app), "rev-parse", "--show-toplevel").strip()).resolve() != app.resolve():
            return False
        known = _git("-C", str(app), "remote").split()
        if NAME in known:
            return _git("-C", str(app), "remote", "get-url", NAME).strip() == str(place)
        _git("-C", str(app), "remote", "add", NAME, str(place))
    except ServiceError:
        return False
    return True


def pushed(place: Path, lines: list[str], wanted: str | None) -> Pushed | None:
    """The branch to deploy among those that git tells a hook of (`old new ref`); None if none of them is.

    `wanted` is DEPLOYMENT_BRANCH; without it, `master` and `main` are deployed.
    """
    for line in lines:
        _, commit, ref = line.split(" ", 2)
        branch = ref.removeprefix("refs/heads/")
        if branch in ((wanted,) if wanted else _BRANCHES) and commit != _GONE:
            message = _git("-C", str(place), "show", "--no-patch", "--format=%B", commit)
            return Pushed(place, branch, commit, message)
    return None


class SupersededError(ServiceError):
    """A later push has taken the place of what was to be deployed."""

    exit_code = 0


def must_be_latest(one: Pushed) -> None:
    """SupersededError if another commit is at the head of the branch by now."""
    latest = _git("--git-dir", str(one.remote), "rev-parse", f"refs/heads/{one.branch}").strip()
    if latest != one.commit:
        wrong = f"a later push has taken the place of {one.commit[:10]}"
        raise SupersededError(Fault(one.branch, wrong, f"{latest[:10]} is deployed instead"))


def check_out(one: Pushed, folder: Path) -> None:
    """Lay the files of a commit into a new folder; ServiceError if git cannot."""
    folder.mkdir(parents=True)
    index = folder.with_name(f".{folder.name}.index")
    index.unlink(missing_ok=True)
    argv: list[str | Path] = ["git", "--git-dir", one.remote, "--work-tree", folder, "read-tree", "-u", "--reset"]
    try:
        run([*argv, one.commit], {**_environ(), "GIT_INDEX_FILE": str(index)})
    except ToolError as error:
        wrong = f"{one.commit} cannot be checked out: {error}"
        raise ServiceError(Fault(shown(one.remote), wrong, "Push again")) from None


def load_deployment(folder: Path) -> Deployment:
    """What a repository's `.deployment` says; ServiceError for what cannot be."""
    path = folder / _FILE
    if not path.is_file():
        return Deployment(folder, "", {})
    parser = _AsWritten()
    try:
        parser.read_string(path.read_text("utf-8-sig", "replace"), _FILE)
    except configparser.Error as error:
        raise ServiceError(Fault(_FILE, f"it cannot be read: {error}", "Write NAME = value below [config]")) from None
    found = dict(parser.items("config")) if parser.has_section("config") else {}
    lower = {name.lower(): value for name, value in found.items()}
    project = Path(os.path.normpath(folder / lower.get("project", ".").replace("\\", "/")))
    if not project.resolve().is_relative_to(folder.resolve()):
        wrong = f"project is '{lower['project']}', which leads out of the repository"
        raise ServiceError(Fault(_FILE, wrong, "Name a folder in it"))
    if not project.is_dir():
        raise ServiceError(Fault(_FILE, f"project is '{lower['project']}', which is no folder", "Name one"))
    settings = {name: value for name, value in found.items() if name.lower() not in {"project", "command"}}
    return Deployment(project, lower.get("command", ""), settings)


def _environ() -> dict[str, str]:
    """The environment without what git tells the programs that it calls."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def _git(*words: str) -> str:
    try:
        return run(["git", *words], _environ())
    except ToolError as error:
        raise ServiceError(Fault("git", str(error), "See to that, and try again")) from None
