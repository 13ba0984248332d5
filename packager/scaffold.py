"""Files to be, rendered from the templates; one door writes them."""

import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.parsers import expat

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    select_autoescape,
)
from jinja2.sandbox import SandboxedEnvironment

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown, whole_folder, write_whole

_ESCAPED = ("csdef.j2", "cscfg.j2", "xml.j2", "config.j2", "html.j2")
_ENDING = ".j2"
_CRLF = {".cmd", ".ps1"}
"""cmd.exe loses its place in a batch file without carriage returns."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to be: its path below the folder it is made for, and its bytes."""

    path: PurePosixPath
    content: bytes


class _Own(FileSystemLoader):
    """The templates of a user's folder, and nothing to which a link in it leads."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        """The text of a template; ServiceError for one that lies elsewhere."""
        folder = Path(self.searchpath[0])
        path = folder / template
        if os.path.lexists(path) and not (path.is_file() and path.resolve().is_relative_to(folder.resolve())):
            wrong = "it is no file of the folder of templates, or a link out of it"
            raise ServiceError(Fault(shown(path), wrong, "Put the file itself there"))
        return super().get_source(environment, template)


class Templates:
    """The templates of the product; a file in the user's own folder takes the place of the one of its path."""

    def __init__(self, own: Path | None = None) -> None:
        loaders: list[BaseLoader] = [PackageLoader("templates", ".")]
        if own is not None:
            loaders.insert(0, _Own(own))
        self._own = own
        self._environment = SandboxedEnvironment(  # a folder that came with someone's repository is not to be trusted
            loader=ChoiceLoader(loaders),
            undefined=StrictUndefined,
            autoescape=select_autoescape(_ESCAPED),
            keep_trailing_newline=True,
            trim_blocks=True,
        )

    def render(self, folders: Iterable[str], values: Mapping[str, object]) -> Iterator[File]:
        """The files of some folders of templates, in order; nothing is written."""
        for folder in folders:
            for name in self._environment.list_templates(extensions=["j2"]):
                if name.startswith(f"{folder}/") and PurePosixPath(name).name != _ENDING:
                    path = PurePosixPath(name.removeprefix(f"{folder}/").removesuffix(_ENDING))
                    text = self.text(name, values)
                    yield File(path, (text.replace("\n", "\r\n") if path.suffix in _CRLF else text).encode())

    def text(self, name: str, values: Mapping[str, object]) -> str:
        """What one template gives; ServiceError if it cannot be rendered."""
        try:
            return self._environment.get_template(name).render(values)
        except TemplateSyntaxError as error:
            raise self._error(error.name or name, error.message, error.lineno) from None
        except ServiceError:
            raise
        except TemplateNotFound as error:
            raise self._failed(name, error, f"it includes {error.name}, which is not there") from None
        except Exception as error:
            raise self._failed(name, error, str(error) or type(error).__name__) from None

    def element(self, name: str, values: Mapping[str, object]) -> str:
        """What a template of an XML element gives; ServiceError if it gives none."""
        text = self.text(name, values)
        try:
            expat.ParserCreate().Parse(text, True)
        except expat.ExpatError as error:
            raise self._error(name, f"it gives no element: {expat.ErrorString(error.code)}", None) from None
        return text

    def _failed(self, name: str, error: Exception, wrong: str) -> ServiceError:
        """A fault at the line of the innermost template that was being rendered."""
        frames = traceback.extract_tb(error.__traceback__)
        places = [(Path(frame.filename).as_posix(), frame.lineno) for frame in frames]
        path, line = next((each for each in reversed(places) if each[0].endswith(_ENDING)), (name, None))
        inner = next((each for each in self._environment.list_templates() if path.endswith(each)), name)
        return self._error(inner, wrong, line)

    def _error(self, name: str, wrong: str | None, line: int | None) -> ServiceError:
        where = shown((self._own or Path("templates")) / name)
        remedy = "Correct it, or remove it to have the template of rolepack again"
        return ServiceError(Fault(where, f"the template cannot be rendered: {wrong}", remedy, line))


def missing(files: Mapping[Path, bytes]) -> dict[Path, bytes]:
    """Those of some files that are not there; a link that leads nowhere is."""
    return {path: content for path, content in files.items() if not os.path.lexists(path)}


def write_new(root: Path, files: Mapping[Path, bytes]) -> None:
    """Write new files below `root`; if any of them exists already, none is written.

    A folder that is not there yet appears whole; into one that is there, each file is.
    """
    _must_not_exist(files)
    _must_be_inside(root, files)
    if os.path.lexists(root):
        _write(files)
        return
    with whole_folder(root) as part:
        _write({part / path.relative_to(root): content for path, content in files.items()})


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write new files, each whole; if any of them exists already, none is written."""
    _must_not_exist(files)
    _write(files)


def _write(files: Mapping[Path, bytes]) -> None:
    for path, content in files.items():
        write_whole(path, content)


def _must_be_inside(root: Path, files: Iterable[Path]) -> None:
    far = [path for path in files if not path.parent.resolve().is_relative_to(root.resolve())]
    if far:
        remedy = "Remove that link, or choose another name"
        raise ServiceError(*(Fault(shown(path), "a link in its path leads elsewhere", remedy) for path in far))


def _must_not_exist(files: Iterable[Path]) -> None:
    there = [path for path in files if os.path.lexists(path)]  # a link that leads nowhere is something, too
    if there:
        remedy = "Move it away, or choose another name"
        raise ServiceError(*(Fault(shown(path), "it exists already", remedy) for path in there))
