"""invoke.yaml: the options of this tool for one service. Other keys in it belong to Invoke and the user's own tasks."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cloudservice import source_rules
from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

if TYPE_CHECKING:
    from packager.scaffold import Templates

FILE = "invoke.yaml"
_MOST_BYTES = 1024 * 1024
"""Far above any real one."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a service; `templates` is a folder whose files take the place of templates of rolepack."""

    templates: Path | None = None


def load(root: Path) -> Options:
    """The options of the service in folder `root`; ServiceError if the file says what it cannot."""
    path = root / FILE
    if path.is_file() and path.stat().st_size > _MOST_BYTES:
        raise ServiceError(Fault(shown(path), f"it has more than {_MOST_BYTES:,} bytes", "Shorten it"))
    content = path.read_bytes() if path.is_file() else b""
    try:
        found = yaml.safe_load(content)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ServiceError(Fault(shown(path), f"it is no YAML: {error.problem}", "Correct it", line)) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ServiceError(Fault(shown(path), "it is no YAML", "Save it as UTF-8 text")) from None
    if found is None:
        return Options()
    if not isinstance(found, dict):
        raise ServiceError(Fault(shown(path), "it has no keys", "Write options as `name: value`"))
    return Options(templates=_templates(root, found))


def templates(root: Path) -> "Templates":
    """The templates of the service in folder `root`, its own among them."""
    from packager.scaffold import Templates

    return Templates(load(root).templates)


def _templates(root: Path, found: dict[str, Any]) -> Path | None:
    written = found.get("templates")
    if written is None:
        return None
    wrong, remedy = "templates is no text", "Name a folder; it is relative to this file"
    if not isinstance(written, str):
        raise ServiceError(Fault(shown(root / FILE), wrong, remedy))
    place = root / written
    if not written or not place.is_dir() or place.resolve() == root.resolve():
        wrong = f"templates is '{written}', which is no folder below or beside the service"
    elif not source_rules.is_near(root, place):
        wrong = f"templates is '{written}', which is not in or beside the service"
        remedy = "Put the templates into a folder there"
    else:
        return place
    raise ServiceError(Fault(shown(root / FILE), wrong, remedy))
