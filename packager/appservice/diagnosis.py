"""What would keep an app from running in App Service on Linux: the documentation's chapter on trouble, for one folder.

Errors are what will fail; warnings what may, or what is not safe. Nothing of the app is run here.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown
from packager.appservice import code, detection, django, runtimes, settings

_MISNAMED = re.compile(r"(requirements?|reqs?)([-_. ].*)?\.(txt|in|md|rst|pip)", re.IGNORECASE)
_WINDOWS_FILES = ("web.config", "ptvs_virtualenv_proxy.py")
_HANDLER = re.compile(r"""WSGI_(?:ALT_VIRTUALENV_)?HANDLER["']\s+value=["']([\w.]+)["']""")
_OBJECTS = {"Django": "application"}
_DEEPEST = 4


class Start(NamedTuple):
    """How the app would be started: the framework and the module, or the start-up command of its own."""

    framework: str
    module: str | None
    command: str = ""
    elsewhere: tuple[str, ...] = ()
    """The addresses in the command that are not the one at which the platform looks for the app."""

    @property
    def is_detected(self) -> bool:
        """Whether the app was recognised by its files."""
        return self.framework not in {"custom", "default"}


def diagnose(app: Path, start: Start, environ: Mapping[str, str]) -> list[Fault]:
    """Everything that is found in the files of an app; `environ` are its settings and variables."""
    requirements = _requirements(app, environ)
    text = requirements.read_text("utf-8", "replace") if requirements else ""
    faults = [
        *_default_page(app, start),
        *_unavailable(app, start),
        *_startup_command(app, start),
        *_settings(app, environ),
        *_packages(app, requirements, environ),
        *_environments(app),
        *_made_for_windows(app),
        *_connections(environ),
    ]
    own = django.load(app, environ)
    return [*faults, *(django.diagnose(own, text, environ) if own else ())]


def _default_page(app: Path, start: Start) -> Iterator[Fault]:
    """The default page instead of the app."""
    if start.framework != "default":
        return
    wrong = "the default page will be shown: there is no start-up command, and no file says that it is Django or Flask"
    found = code.applications(app)
    deeper = [path.relative_to(app) for path in code.files(app) if path.name == "wsgi.py" and path.parent != app]
    if deeper:
        folder, module = deeper[0].parent.parent.as_posix(), deeper[0].parent.name
        command = f"gunicorn --bind=0.0.0.0 --timeout 600 --chdir {folder} {module}.wsgi"
        wrong = f"{wrong}; a wsgi.py lies deeper than it is looked for, in {deeper[0].parent.as_posix()}"
    elif found:
        command = found[0].command
        wrong = f"{wrong}; an application is in {found[0].file.as_posix()}"
    else:
        yield Fault(shown(app), wrong, "Name the file app.py and the application app, or give it a start-up command")
        return
    yield Fault(shown(app), wrong, f'Set the start-up command "{command}"')


def _unavailable(app: Path, start: Start) -> Iterator[Fault]:
    """'Service Unavailable': gunicorn would start, and the app would not."""
    if not start.is_detected or start.module is None:
        return
    module, _, name = start.module.partition(":")
    path = app.joinpath(*module.split(".")).with_suffix(".py")
    tree = code.parse(path)
    wanted = name or _OBJECTS.get(start.framework, "app")
    if isinstance(tree, SyntaxError):
        wrong = f"'Service Unavailable': it cannot be loaded: {tree.msg}"
        yield Fault(shown(path), wrong, "Correct it", tree.lineno)
    elif isinstance(tree, ast.Module):
        names = code.names_in(tree)
        if names is not None and wanted not in names:
            there = [one for one in code.applications(app) if app / one.file == path]
            remedy = f"Name the application {wanted}"
            if there:
                remedy = f'{remedy}, or set the start-up command "{there[0].command}"'
            yield Fault(shown(path), f"'Service Unavailable': it has no '{wanted}', which is what is served", remedy)


def _startup_command(app: Path, start: Start) -> Iterator[Fault]:
    """What can be seen of a start-up command before it runs."""
    where, command = "--startup-command", start.command.strip()
    words = command.split()
    path = app / command
    if len(words) == 1 and path.is_file():
        content = path.read_bytes()
        if b"\r\n" in content and path.suffix == ".sh":
            wrong = "its lines end as on Windows, and no shell of Linux takes that"
            yield Fault(shown(path), wrong, "Save it with line ends of Unix")
    elif len(words) == 1 and command.endswith((".sh", ".txt", ".cmd")):
        yield Fault(where, f"there is no file '{command}' in the app", "Name one relative to its root")
    for address in start.elsewhere:
        wrong = f"it listens at {address}, and the platform looks for the app at port 8000"
        yield Fault(where, wrong, "Write --bind=0.0.0.0")


def _settings(app: Path, environ: Mapping[str, str]) -> Iterator[Fault]:
    """What ends the build at once."""
    try:
        settings.load(app, environ, {})
        asked = detection.version_asked(app)
        if asked:
            runtimes.choose(asked)
    except ServiceError as error:
        yield from error.faults


def _requirements(app: Path, environ: Mapping[str, str]) -> Path | None:
    named = environ.get("CUSTOM_REQUIREMENTSTXT_PATH") or detection.REQUIREMENTS
    return app / named if (app / named).is_file() else None


def _packages(app: Path, requirements: Path | None, environ: Mapping[str, str]) -> Iterator[Fault]:
    """requirements.txt missing, misnamed or elsewhere, or not installed."""
    has_project = any((app / name).is_file() for name in ("setup.py", "pyproject.toml"))
    if requirements is None and not has_project:
        wrong = "'Could not find setup.py or requirements.txt': no packages will be installed"
        remedy = "Add a requirements.txt to the root, with everything that the app imports"
        if near := next(_misplaced(app), None):
            remedy = f"Move {near} to requirements.txt in the root, or set CUSTOM_REQUIREMENTSTXT_PATH={near}"
        yield Fault(shown(app), wrong, remedy)
    if not settings.is_built(environ, is_default=True):
        wrong = "'ModuleNotFoundError': the settings ask for no build, so that no packages are installed"
        yield Fault("SCM_DO_BUILD_DURING_DEPLOYMENT", wrong, "Set it to 1, and deploy again")


def _misplaced(app: Path) -> Iterator[str]:
    """Files that may be meant as requirements.txt, the nearest first."""
    for depth in range(_DEEPEST):
        for path in sorted(app.glob("/".join(["*"] * (depth + 1)))):
            parts = path.relative_to(app).parts
            is_hidden = any(part.startswith(".") for part in parts) or "site-packages" in parts
            if not is_hidden and _MISNAMED.fullmatch(path.name) and path.is_file():
                yield path.relative_to(app).as_posix()


def _environments(app: Path) -> Iterator[Fault]:
    """'ModuleNotFoundError': a virtual environment among the sources."""
    for depth in range(1, _DEEPEST):
        for path in sorted(app.glob("/".join(["*"] * depth + ["pyvenv.cfg"]))):
            wrong = (
                "'ModuleNotFoundError': a virtual environment lies among the sources, and works on this machine alone"
            )
            remedy = "Leave it out of what is deployed, and let the build make one: SCM_DO_BUILD_DURING_DEPLOYMENT=1"
            yield Fault(shown(path.parent), wrong, remedy, level="warning")


def _made_for_windows(app: Path) -> Iterator[Fault]:
    """An app for Windows that is run as one for Linux."""
    there = [app / name for name in _WINDOWS_FILES if (app / name).is_file()]
    if not there:
        return
    handlers = [match[1] for path in there if (match := _HANDLER.search(path.read_text("utf-8", "replace")))]
    remedy = "Remove it, or run the app with --platform windows"
    if handlers and "." in handlers[0]:
        command = "gunicorn --bind=0.0.0.0 --timeout 600 {}:{}".format(*handlers[0].rsplit(".", 1))
        remedy = f'Set the start-up command "{command}", or run the app with --platform windows'
    wrong = "it is for App Service on Windows, and nothing reads it on Linux"
    yield Fault(shown(there[0]), wrong, remedy, level="warning")


def _connections(environ: Mapping[str, str]) -> Iterator[Fault]:
    """'SSL connection is required', by the address of a database in a setting, whose value is not shown."""
    for name, value in environ.items():
        is_database = value.startswith(("postgres://", "postgresql://", "mysql://"))
        if is_database and "ssl" not in value.lower() and "@localhost" not in value and "@127." not in value:
            wrong = "its address of a database does not ask for TLS ('SSL connection is required')"
            yield Fault(name, wrong, "Add ?sslmode=require, and check the user's name and password", level="warning")


def of_missing(app: Path, names: list[str]) -> list[Fault]:
    """What to do about modules that the app imports and its environment has not."""
    imported = code.imported(app)
    return [
        Fault(
            shown(imported[name]),
            f"'ModuleNotFoundError': it imports {name}, which is not installed",
            "Add its package to requirements.txt, and build again",
        )
        for name in names
    ]


def of_failed_load(app: Path, arguments: str, printed: str) -> Fault:
    """What to do about an app that gunicorn could not load."""
    lines = [line for line in printed.splitlines() if line.strip() and not line.startswith("[")]
    why = lines[-1].strip().rstrip(".") if lines else "it says nothing"
    return Fault(shown(app), f"'Service Unavailable': gunicorn cannot load {arguments}: {why}", "Correct that")
